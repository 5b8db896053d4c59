import type { ErrorCode } from '@dormouse/errors';
import { applyDecorators } from '@nestjs/common';
import { ApiExtension, ApiOperation, ApiResponse } from '@nestjs/swagger';
import type { z } from 'zod';
import { referenceTo } from './schemas';

/** Where an operation keeps the codes that it can be refused with until the document is made. */
export const problemCodes = 'x-problem-codes';

interface Answer {
  readonly description: string;
  /** Null: it has no body. */
  readonly schema: z.ZodType | null;
}

interface Route {
  /** By status. */
  readonly answers: Readonly<Record<number, Answer>>;
  /** Besides those that follow from what kind of route it is (document.ts). */
  readonly problems?: readonly ErrorCode[];
  readonly description?: string;
}

/** Describes a route. @param operationId what a generated client calls its method */
export const Describe = (operationId: string, summary: string, { answers, problems = [], description }: Route) =>
  applyDecorators(
    ApiOperation({ operationId, summary, ...(description !== undefined && { description }) }),
    ...Object.entries(answers).map(([status, { description: about, schema }]) =>
      ApiResponse({
        status: Number(status),
        description: about,
        ...(schema !== null && { content: { 'application/json': { schema: referenceTo(schema) } } }),
      }),
    ),
    ApiExtension(problemCodes, problems),
  );
