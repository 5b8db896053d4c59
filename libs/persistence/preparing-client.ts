import { Client, type ClientConfig } from 'pg';

/** So many statements of a connection stay planned. There are about a hundred that come often; each takes Postgres some ten KiB. */
const mostPrepared = 200;

/**
 * A connection on which Postgres parses and plans each statement that has parameters the first few times only. That is more than
 * half of what our short statements cost it.
 */
export class PreparingClient extends Client {
  constructor(config?: string | ClientConfig) {
    super(config);
    this.query = preparing(this.query.bind(this));
  }
}

type Query = (statement: unknown, values?: unknown, ...rest: unknown[]) => unknown;

function preparing(query: Query): Client['query'] {
  const names = new Map<string, string>();
  const named: Query = (text, values, ...rest) => {
    if (typeof text !== 'string' || !Array.isArray(values) || values.length === 0) return query(text, values, ...rest);
    if (!names.has(text) && names.size < mostPrepared) names.set(text, `statement ${names.size + 1}`);
    const name = names.get(text);
    return query(name === undefined ? text : { name, text }, values, ...rest);
  };
  return named as Client['query'];
}
