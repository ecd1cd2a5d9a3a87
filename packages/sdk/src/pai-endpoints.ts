import { InvalidInputError } from '@pai-cpt/core';
import type { PaiProduct } from './pai-wire.ts';

/** Where a product answers: `host[:port]` without a scheme, as the signer wants it. */
export interface Endpoint {
  readonly host: string;
  readonly protocol: 'http' | 'https';
}

/** Hosts that hold the product in a region of their own (aliyun/alibabacloud-typescript-sdk@06a71f93, `_endpointMap`). */
const REGIONAL: Record<PaiProduct, { readonly prefix: string; readonly regions: readonly string[] }> = {
  dlc: {
    prefix: 'pai-dlc',
    regions: [
      ...['cn-beijing', 'cn-guangzhou', 'cn-hangzhou', 'cn-hongkong', 'cn-shanghai', 'cn-shanghai-finance-1'],
      ...['cn-shenzhen', 'cn-wulanchabu', 'ap-northeast-1', 'ap-southeast-1', 'ap-southeast-3', 'ap-southeast-5'],
      ...['ap-southeast-7', 'ap-southeast-8', 'eu-central-1', 'us-east-1', 'us-southeast-1', 'us-west-1'],
    ],
  },
  eas: {
    prefix: 'pai-eas',
    regions: [
      ...['cn-beijing', 'cn-chengdu', 'cn-guangzhou', 'cn-hangzhou', 'cn-heyuan', 'cn-hongkong', 'cn-north-2-gov-1'],
      ...['cn-shanghai', 'cn-shanghai-finance-1', 'cn-shenzhen', 'cn-wulanchabu', 'cn-zhangjiakou', 'cn-zhongwei'],
      ...['ap-northeast-1', 'ap-northeast-2', 'ap-south-1', 'ap-southeast-1', 'ap-southeast-3', 'ap-southeast-5'],
      ...['ap-southeast-7', 'ap-southeast-8', 'eu-central-1', 'me-central-1', 'me-east-1', 'na-south-1', 'us-east-1'],
      ...['us-southeast-1', 'us-west-1'],
    ],
  },
  paistudio: {
    prefix: 'pai',
    regions: [
      ...['cn-beijing', 'cn-guangzhou', 'cn-hongkong', 'cn-qingdao', 'cn-shanghai', 'cn-shanghai-finance-1'],
      ...['cn-shenzhen', 'cn-wulanchabu', 'cn-zhangjiakou', 'cn-zhongwei', 'ap-northeast-1', 'ap-northeast-2'],
      ...['ap-south-1', 'ap-southeast-1', 'ap-southeast-2', 'ap-southeast-3', 'ap-southeast-5', 'ap-southeast-8'],
      ...['eu-central-1', 'me-east-1', 'us-east-1', 'us-southeast-1', 'us-west-1'],
    ],
  },
  // Its other regions follow the rule below, which gives the same form.
  aiworkspace: { prefix: 'aiworkspace', regions: [] },
};

/** Hosts of another form than their product's others. */
const ODD_HOSTS: Readonly<Record<string, string>> = {
  'paistudio cn-hangzhou': 'pai.cn-hangzhou.data.aliyun.com',
  'aiworkspace ap-southeast-5': 'aiworkspace-vpc.ap-southeast-5.aliyuncs.com',
};

/** What the rule of the official clients calls a product whose mapped hosts are called otherwise. */
const RULE_NAMES: Readonly<Record<PaiProduct, string>> = {
  dlc: 'pai-dlc',
  eas: 'eas',
  paistudio: 'paistudio',
  aiworkspace: 'aiworkspace',
};

/** Regions that one central host holds. */
const CENTRAL_REGIONS: Readonly<Partial<Record<PaiProduct, { host: string; regions: readonly string[] }>>> = {
  dlc: {
    host: 'pai-dlc.aliyuncs.com',
    regions: [
      ...['ap-south-1', 'ap-southeast-2', 'cn-beijing-finance-1', 'cn-chengdu', 'cn-huhehaote', 'cn-north-2-gov-1'],
      ...['cn-qingdao', 'cn-shenzhen-finance-1', 'cn-wuhan', 'cn-zhangjiakou', 'eu-west-1', 'me-east-1'],
    ],
  },
  aiworkspace: {
    host: 'aiworkspace.aliyuncs.com',
    regions: [
      ...['ap-southeast-2', 'cn-beijing-finance-1', 'cn-huhehaote', 'cn-qingdao', 'cn-shenzhen-finance-1', 'cn-wuhan'],
      ...['eu-west-1', 'me-east-1'],
    ],
  },
};

/**
 * The endpoint of a product in a region. A region that no table knows follows the rule of the official clients,
 * `product.region.aliyuncs.com`, where the product of EAS is `eas` and not `pai-eas`, and Studio's `paistudio` and not `pai`.
 */
export function regionalEndpoint(product: PaiProduct, regionId: string): Endpoint {
  const { prefix, regions } = REGIONAL[product];
  const central = CENTRAL_REGIONS[product];
  const odd = ODD_HOSTS[`${product} ${regionId}`];
  if (odd !== undefined) return { host: odd, protocol: 'https' };
  if (central?.regions.includes(regionId)) return { host: central.host, protocol: 'https' };
  const name = regions.includes(regionId) ? prefix : RULE_NAMES[product];
  return { host: `${name}.${regionId}.aliyuncs.com`, protocol: 'https' };
}

/**
 * The endpoint that an override names.
 * @throws InvalidInputError `CPT_INPUT_INVALID` for anything but `http(s)://host[:port]`.
 */
export function parseEndpoint(endpoint: string): Endpoint {
  const url = URL.canParse(endpoint) ? new URL(endpoint) : undefined;
  const protocol = url?.protocol.slice(0, -1);
  const isPlain = url?.pathname === '/' && url.search === '' && url.hash === '' && url.username === '';
  if (!url || !isPlain || (protocol !== 'http' && protocol !== 'https')) {
    throw new InvalidInputError(
      'CPT_INPUT_INVALID',
      `endpoint is ${JSON.stringify(endpoint)}: give a scheme and a host, such as https://pai-dlc.cn-hangzhou.aliyuncs.com or http://127.0.0.1:8790`,
      { field: 'endpoint' },
    );
  }
  return { host: url.host, protocol };
}

/** @throws InvalidInputError `CPT_INPUT_INVALID` for a region id that cannot be part of a host name. */
export function checkRegionId(regionId: string): string {
  if (/^[a-z0-9]+(-[a-z0-9]+)*$/.test(regionId)) return regionId;
  throw new InvalidInputError(
    'CPT_INPUT_INVALID',
    `regionId is ${JSON.stringify(regionId)}: give a region of Alibaba Cloud, such as cn-hangzhou`,
    { field: 'regionId' },
  );
}
