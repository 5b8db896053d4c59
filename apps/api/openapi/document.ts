import { errorCodes, type ErrorCode } from '@dormouse/errors';
import { answers, errorCode } from '@dormouse/views';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { DocumentBuilder, SwaggerModule, type OpenAPIObject } from '@nestjs/swagger';
import { z } from 'zod';
import { problemCodes } from './describe';
import { allSchemas, referenceTo } from './schemas';

/** Webhooks are signed; everything else shows a key. */
export const webhookSignature = 'webhook-signature';

type OperationObject = NonNullable<OpenAPIObject['paths'][string]['get']>;

/** RFC 9457. */
const problem = z
  .looseObject({
    type: z.string().meta({ example: 'urn:dormouse:problem:desktop-unknown' }),
    title: z.string(),
    status: z.int(),
    detail: z.string().describe('What happened, and what to do next'),
    code: errorCode,
    instance: z.string().meta({ example: '/v1/desktops/desk-1', description: 'The path that was asked for' }),
    requestId: z.string(),
  })
  .register(answers, { id: 'Problem' });

/** The description of the API. */
export function describeApi(app: NestFastifyApplication): OpenAPIObject {
  const about = new DocumentBuilder()
    .setOpenAPIVersion('3.1.0')
    .setTitle('Dormouse')
    .setDescription('Puts virtual desktops to sleep when their users leave and wakes them when they return')
    .setVersion('1')
    .setLicense('Apache-2.0', 'https://www.apache.org/licenses/LICENSE-2.0')
    .addServer('/')
    .addBearerAuth({ type: 'http', scheme: 'bearer', description: 'The admin key, or a key made with it' })
    .addSecurity(webhookSignature, {
      type: 'apiKey',
      in: 'header',
      name: webhookSignature,
      description: '`v1,` and the HMAC of the webhook, as in Standard Webhooks; several, separated by spaces',
    })
    .build();
  const document = SwaggerModule.createDocument(app, about);
  for (const operation of operationsOf(document)) {
    addProblems(operation);
    operation.security ??= []; // open to everybody, and not forgotten
  }
  return { ...document, components: { ...document.components, schemas: allSchemas() } };
}

/** Serves the description of the API as JSON and as a page. */
export function serveOpenApi(app: NestFastifyApplication): void {
  SwaggerModule.setup('docs', app, () => describeApi(app), { jsonDocumentUrl: 'openapi.json' });
}

function operationsOf({ paths }: OpenAPIObject): OperationObject[] {
  return Object.values(paths).flatMap(({ get, put, post, delete: remove }) =>
    [get, put, post, remove].filter((operation) => operation !== undefined),
  );
}

/** Says under each status which codes an operation can be refused with: its own, and those of its kind. */
function addProblems(operation: OperationObject & { [problemCodes]?: readonly ErrorCode[] }): void {
  const codes = new Set([...impliedCodes(operation), ...(operation[problemCodes] ?? [])]);
  delete operation[problemCodes];
  const byStatus = new Map<number, ErrorCode[]>();
  for (const code of codes) {
    const { status } = errorCodes[code];
    byStatus.set(status, [...(byStatus.get(status) ?? []), code]);
  }
  for (const [status, some] of [...byStatus].sort(([one], [other]) => one - other)) {
    operation.responses[status] = problemResponse(
      some.map((code) => `\`${code}\`: ${errorCodes[code].title}`).join('\n\n'),
    );
  }
}

function problemResponse(description: string): OperationObject['responses'][string] {
  return { description, content: { 'application/problem+json': { schema: referenceTo(problem) } } };
}

function impliedCodes({ security, requestBody, parameters = [] }: OperationObject): readonly ErrorCode[] {
  const takesKey = (security ?? []).some((way) => 'bearer' in way);
  const isRepeatable = parameters.some((parameter) => 'name' in parameter && parameter.name === 'Idempotency-Key');
  const reads = parameters.length > 0 || requestBody !== undefined;
  return [
    'INTERNAL',
    ...(reads ? (['REQUEST_INVALID'] as const) : []),
    ...(takesKey ? (['UNAUTHENTICATED', 'FORBIDDEN', 'RATE_LIMITED', 'SERVICE_UNAVAILABLE'] as const) : []),
    ...(requestBody === undefined ? [] : (['REQUEST_TOO_LARGE', 'MEDIA_TYPE_UNSUPPORTED'] as const)),
    ...(isRepeatable ? (['IDEMPOTENCY_KEY_REUSED', 'IDEMPOTENCY_KEY_IN_USE'] as const) : []),
  ];
}
