import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { Logger as NestLogger, PinoLogger } from 'nestjs-pino';
import { ApiModule } from './api.module';
import { useBodyParsers } from './body-parser';
import type { ApiDependencies } from './dependencies';
import { serveOpenApi } from './openapi';
import { ProblemFilter } from './problems';
import { requestIdHeader, requestIdOf } from './request-id';

/** The HTTP application on what it is given to work with. It does not listen yet. */
export async function createApi(dependencies: ApiDependencies): Promise<NestFastifyApplication> {
  const { logger } = dependencies;
  const problems = new ProblemFilter(logger);
  const adapter = new FastifyAdapter({
    skipMiddie: true, // there is no middleware; it would cost each request a walk through none
    genReqId: requestIdOf,
    // What Fastify refuses before a route is found (a broken address) never reaches Nest's filters.
    frameworkErrors: (error: unknown, request: FastifyRequest, reply: FastifyReply) => {
      problems.answer(error, request, reply);
    },
    forceCloseConnections: 'idle',
    // What is too long to be an id is told so by those who read ids.
    routerOptions: { maxParamLength: 16 * 1024 },
  });
  const app = await NestFactory.create<NestFastifyApplication>(ApiModule.with(dependencies), adapter, {
    logger: new NestLogger(new PinoLogger({ pinoHttp: { logger: logger.child({}, { level: 'warn' }) } }), {}),
    abortOnError: false,
    bodyParser: false,
  });
  adapter.getInstance().addHook('onRequest', (request, reply, done) => {
    void reply.header(requestIdHeader, request.id);
    done();
  });
  if (logger.isLevelEnabled('debug')) {
    adapter.getInstance().addHook('onResponse', (request, reply, done) => {
      logger.debug(
        {
          requestId: request.id,
          method: request.method,
          url: request.url,
          status: reply.statusCode,
          ms: reply.elapsedTime,
        },
        'answered',
      );
      done();
    });
  }
  useBodyParsers(app);
  app.useGlobalFilters(problems);
  serveOpenApi(app);
  await app.init();
  return app;
}
