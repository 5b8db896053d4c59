import { DormouseError } from '@dormouse/errors';
import { issuesInWords } from '@dormouse/text';
import { Body, Query, type PipeTransform } from '@nestjs/common';
import { ApiBody, ApiQuery } from '@nestjs/swagger';
import type { z } from 'zod';
import { queryFields, referenceTo } from './schemas';

/** Reads by a schema. @throws REQUEST_INVALID with `details.problems`, a sentence for each field that is wrong */
export class Read<Schema extends z.ZodType> implements PipeTransform<unknown, z.output<Schema>> {
  constructor(private readonly schema: Schema) {}

  transform(value: unknown): z.output<Schema> {
    const given = value ?? {}; // nothing sent: told which fields are missing
    const parsed = this.schema.safeParse(given);
    if (parsed.success) return parsed.data;
    const problems = issuesInWords(parsed.error.issues, given);
    throw new DormouseError('REQUEST_INVALID', problems.join('; '), { problems });
  }
}

/** A parameter that is the request's body: read by the schema, and described by it. */
export const ReadBody = (schema: z.ZodType) =>
  onRoute(Body(new Read(schema)), ApiBody({ required: true, schema: referenceTo(schema) }));

/** A parameter that is the request's query: read by the schema, and described by it. */
export const ReadQuery = (schema: z.ZodType) =>
  onRoute(
    Query(new Read(schema)),
    ...queryFields(schema).map(({ name, required, schema: field }) => {
      const { description, ...rest } = field as { description?: string };
      return ApiQuery({ name, required, schema: rest, ...(description !== undefined && { description }) });
    }),
  );

/** One decorator of a parameter out of that and those of its method. */
function onRoute(ofParameter: ParameterDecorator, ...ofMethod: readonly MethodDecorator[]): ParameterDecorator {
  return (target, key, index) => {
    ofParameter(target, key, index);
    if (key === undefined) return;
    const method = Object.getOwnPropertyDescriptor(target, key);
    if (method !== undefined) for (const decorate of ofMethod) decorate(target, key, method);
  };
}
