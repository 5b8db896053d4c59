import { DormouseError, describeError, errorCodes, type ErrorCode, type ErrorDetails } from '@dormouse/errors';
import { postgresAway } from '@dormouse/persistence';
import { HttpException } from '@nestjs/common';

/** RFC 9457. `code` is the stable name to match on; the error's details are members of their own. */
export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly code: ErrorCode;
  /** The path that was asked for. */
  readonly instance: string;
  readonly requestId: string;
  readonly [detail: string]: unknown;
}

export const problemContentType = 'application/problem+json; charset=utf-8';

/** What Fastify and Nest throw by themselves, before any of our code runs. */
const foreignErrors: Readonly<Record<number, ErrorCode>> = {
  400: 'REQUEST_INVALID',
  404: 'ROUTE_UNKNOWN',
  413: 'REQUEST_TOO_LARGE',
  415: 'MEDIA_TYPE_UNSUPPORTED',
};

const inOurWords: Partial<Record<ErrorCode, string>> = {
  MEDIA_TYPE_UNSUPPORTED:
    'send the body as application/json and say so in content-type; webhooks may also be application/cloudevents+json, or ' +
    'application/cloudevents-batch+json',
};

/** Gives anything that was thrown a code. What is not meant for the caller becomes INTERNAL and keeps its cause. */
export function asDormouseError(error: unknown): DormouseError {
  if (error instanceof DormouseError) return error;
  const away = postgresAway(error);
  if (away !== null) return away;
  const code = foreignErrors[foreignStatus(error)];
  const { message } = describeError(error);
  if (code !== undefined) return new DormouseError(code, inOurWords[code] ?? message, {}, { cause: error });
  return new DormouseError(
    'INTERNAL',
    "something unexpected went wrong; the api's log tells more under the request id",
    {},
    { cause: error },
  );
}

export function toProblem(error: DormouseError, request: { path: string; id: string }): Problem {
  const { status, title } = errorCodes[error.code];
  return {
    ...tellable(error),
    type: `urn:dormouse:problem:${error.code.toLowerCase().replaceAll('_', '-')}`,
    title,
    status,
    detail: error.message,
    code: error.code,
    instance: request.path,
    requestId: request.id,
  };
}

function foreignStatus(error: unknown): number {
  if (error instanceof HttpException) return error.getStatus();
  const { statusCode } = (error ?? {}) as { statusCode?: unknown };
  return typeof statusCode === 'number' ? statusCode : 500;
}

function tellable({ code, details }: DormouseError): ErrorDetails {
  return code === 'INTERNAL' ? {} : details;
}
