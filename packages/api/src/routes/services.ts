import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { type Service, type ServiceList, ServiceListSchema } from '@pai-cpt/sdk';
import { Type } from 'typebox';
import type { ApiClient } from '../client.ts';
import type { Repositories } from '../db/repositories.ts';
import { json, problems, ref } from '../openapi.ts';
import { type ListOrder, PageQuery, pageSchema, readPage } from '../pages.ts';
import { remember } from './remember.ts';

export const ServicePage = pageSchema(ServiceListSchema, 'services', ref<Service>('Service'), 'ServicePage');
type ServicePageBody = ServiceList & { hasMore: boolean; next?: string };

/** EAS lists in an order of its own; names are unique in a region. */
const BY_NAME: ListOrder<Service> = { keyOf: (service) => service.name, idOf: () => '', direction: 'ascending' };

/** Services that serve models. Their access tokens are never part of an answer. */
export function serviceRoutes(client: ApiClient, { services }: Repositories): FastifyPluginAsyncTypebox {
  return async (server) => {
    server.get(
      '/services',
      {
        schema: {
          operationId: 'listServices',
          summary: 'Services of the region, by name',
          tags: ['services'],
          querystring: PageQuery,
          response: {
            200: json('One page.', ref<ServicePageBody>('ServicePage')),
            ...problems(400, 401, 403, 429, 502, 504),
          },
        },
      },
      async ({ query, log }) => {
        const all: Service[] = [];
        for await (const service of client.services.list()) all.push(service);
        all.sort((a, b) => (a.name < b.name ? -1 : 1));
        const { items, ...position } = await readPage(all, BY_NAME, query);
        await remember(log, services.recordSeen(items));
        return { services: items, ...position };
      },
    );

    server.get(
      '/services/:name',
      {
        schema: {
          operationId: 'getService',
          summary: 'What PAI says of a service',
          tags: ['services'],
          params: Type.Object({ name: Type.String({ minLength: 1, maxLength: 128 }) }),
          response: {
            200: json('The service.', ref<Service>('Service')),
            ...problems(400, 401, 403, 404, 422, 429, 502, 504),
          },
        },
      },
      async ({ params: { name }, log }) => {
        const service = await client.services.get(name);
        await remember(log, services.recordSeen([service]));
        return service;
      },
    );
  };
}
