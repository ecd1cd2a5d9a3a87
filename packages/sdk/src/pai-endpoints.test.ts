import { describe, expect, it } from 'vitest';
import { checkRegionId, parseEndpoint, regionalEndpoint } from './pai-endpoints.ts';

describe('regionalEndpoint', () => {
  // Hosts in the endpoint maps of the official clients, and what their rule gives for a region in neither.
  it.each([
    ['dlc', 'cn-hangzhou', 'pai-dlc.cn-hangzhou.aliyuncs.com'],
    ['dlc', 'cn-wulanchabu', 'pai-dlc.cn-wulanchabu.aliyuncs.com'],
    ['dlc', 'ap-southeast-1', 'pai-dlc.ap-southeast-1.aliyuncs.com'],
    ['dlc', 'cn-zhangjiakou', 'pai-dlc.aliyuncs.com'],
    ['dlc', 'me-east-1', 'pai-dlc.aliyuncs.com'],
    ['dlc', 'xx-new-1', 'pai-dlc.xx-new-1.aliyuncs.com'],
    ['eas', 'cn-hangzhou', 'pai-eas.cn-hangzhou.aliyuncs.com'],
    ['eas', 'cn-zhangjiakou', 'pai-eas.cn-zhangjiakou.aliyuncs.com'],
    ['eas', 'me-east-1', 'pai-eas.me-east-1.aliyuncs.com'],
    ['eas', 'xx-new-1', 'eas.xx-new-1.aliyuncs.com'],
    ['paistudio', 'cn-hangzhou', 'pai.cn-hangzhou.data.aliyun.com'],
    ['paistudio', 'cn-beijing', 'pai.cn-beijing.aliyuncs.com'],
    ['paistudio', 'xx-new-1', 'paistudio.xx-new-1.aliyuncs.com'],
    ['aiworkspace', 'cn-hangzhou', 'aiworkspace.cn-hangzhou.aliyuncs.com'],
    ['aiworkspace', 'me-east-1', 'aiworkspace.aliyuncs.com'],
    ['aiworkspace', 'ap-southeast-5', 'aiworkspace-vpc.ap-southeast-5.aliyuncs.com'],
  ] as const)('puts %s in %s at %s', (product, region, host) => {
    expect(regionalEndpoint(product, region)).toEqual({ host, protocol: 'https' });
  });
});

describe('parseEndpoint', () => {
  it('keeps scheme and port apart from the host', () => {
    expect(parseEndpoint('http://127.0.0.1:8790')).toEqual({ host: '127.0.0.1:8790', protocol: 'http' });
    expect(parseEndpoint('https://pai-dlc.cn-beijing.aliyuncs.com/')).toEqual({
      host: 'pai-dlc.cn-beijing.aliyuncs.com',
      protocol: 'https',
    });
  });

  it.each([
    '127.0.0.1:8790',
    'pai-dlc.cn-hangzhou.aliyuncs.com',
    'ftp://host',
    'http://host/path',
    'http://u:p@host',
    '',
  ])('refuses %j', (endpoint) => {
    expect(() => parseEndpoint(endpoint)).toThrow(/give a scheme and a host/);
  });
});

it.each(['', 'cn hangzhou', 'evil.com/x', 'CN-HANGZHOU', 'cn-hangzhou.evil.com'])('refuses the region %j', (region) => {
  expect(() => checkRegionId(region)).toThrow(/regionId/);
});
