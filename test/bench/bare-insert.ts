/** `node bare-insert.js`, DATABASE_URL: a bare Fastify handler that does one parameterised INSERT. What webhooks are compared with. */
import Fastify from 'fastify';
import { Pool } from 'pg';

async function main(): Promise<void> {
  const pool = new Pool({ connectionString: process.env['DATABASE_URL'], max: 10 });
  await pool.query(
    'CREATE TABLE IF NOT EXISTS bare (id text PRIMARY KEY, body jsonb NOT NULL, at timestamptz NOT NULL)',
  );
  const server = Fastify();
  server.addContentTypeParser(
    'application/cloudevents+json',
    { parseAs: 'string' },
    server.getDefaultJsonParser('error', 'error'),
  );
  server.post('/v1/webhooks', async (request, reply) => {
    await pool.query('INSERT INTO bare (id, body, at) VALUES ($1, $2, $3)', [
      request.headers['webhook-id'],
      JSON.stringify(request.body),
      new Date(),
    ]);
    return reply.status(202).send({ accepted: true });
  });
  process.send?.({ ready: true, url: await server.listen({ host: '127.0.0.1', port: 0 }) });
  process.on('disconnect', () => process.exit(0));
}

void main();
