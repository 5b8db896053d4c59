import { DormouseError } from '@dormouse/errors';
import { answers } from '@dormouse/views';
import type { OpenAPIObject } from '@nestjs/swagger';
import { z } from 'zod';

/** Bodies of requests that have a name of their own in the description. */
export const requests = z.registry<{ readonly id: string }>();

type Described = NonNullable<NonNullable<OpenAPIObject['components']>['schemas']>[string];

const place = (id: string): string => `#/components/schemas/${id}`;

/** Where the description has a schema that is registered. */
export function referenceTo(schema: z.ZodType): { $ref: string } {
  const named = answers.get(schema) ?? requests.get(schema);
  if (named === undefined) throw new DormouseError('INTERNAL', 'a schema of the api has no name in its description');
  return { $ref: place(named.id) };
}

/** Every registered schema, by its name. Requests are described as they are sent, answers as they come. */
export function allSchemas(): Record<string, Described> {
  return { ...described(requests, 'input'), ...described(answers, 'output') };
}

/** The fields of a query: how each is sent, and whether it must be. */
export function queryFields(schema: z.ZodType): readonly { name: string; required: boolean; schema: Described }[] {
  const { properties = {}, required = [] } = z.toJSONSchema(schema, { ...options, io: 'input' });
  return Object.entries(properties).map(([name, field]) => ({
    name,
    required: required.includes(name),
    schema: field as Described,
  }));
}

const options = {
  // A check in code has no words in JSON Schema: `meta` says what can be said.
  unrepresentable: 'any',
  override: ({ jsonSchema }: { jsonSchema: z.core.JSONSchema.BaseSchema }) => {
    // Nobody sends these fields: that nobody writes to them here is nobody else's business.
    delete jsonSchema.readOnly;
  },
} as const;

function described(registry: typeof requests, io: 'input' | 'output'): Record<string, Described> {
  const { schemas } = z.toJSONSchema(registry, { ...options, io, uri: place });
  return Object.fromEntries(
    Object.entries(schemas).map(([id, { $schema: _, $id: __, ...schema }]) => [id, schema as Described]),
  );
}
