import type { JsonValue } from '@dormouse/session';
import type { Transactions } from './transactions';

/** A request that may come again, as its caller and its `Idempotency-Key` name it. */
export interface RepeatableRequest {
  readonly actor: string;
  readonly key: string;
  /** Of all that makes it this request: method, address and body. */
  readonly fingerprint: string;
}

/** Of what was done. A refusal is none: what it depends on may be otherwise a moment later. */
export interface RepeatableAnswer {
  readonly body: JsonValue;
  readonly location: string | null;
}

/** What is known of a request that comes: nothing, that it is another than before, that it is under way, or its answer. */
export type EarlierRequest = 'none' | 'different' | 'under way' | RepeatableAnswer;

/** Longer than any answer takes: whoever was at it has died, and the request may be tried again. */
const abandonedAfterMs = 60_000;

/**
 * `none`: the request is ours now, and it is for us to say what came of it. Of two at the same moment one is told so. A refusal
 * that an earlier version kept is no answer.
 */
export function beginRepeatable(
  transactions: Transactions,
  { actor, key, fingerprint }: RepeatableRequest,
): Promise<EarlierRequest> {
  return transactions.run(async ({ manager, now }) => {
    const begun: unknown[] = await manager.query(
      `INSERT INTO idempotency_keys AS known (actor, key, fingerprint, begun_at) VALUES ($1, $2, $3, $4)
       ON CONFLICT (actor, key) DO UPDATE SET begun_at = excluded.begun_at, answer = NULL
         WHERE known.fingerprint = excluded.fingerprint
           AND (known.answer ? 'error' OR known.answer IS NULL AND known.begun_at < $5)
       RETURNING key`,
      [actor, key, fingerprint, now, new Date(now.getTime() - abandonedAfterMs)],
    );
    if (begun.length > 0) return 'none';
    const [earlier]: { fingerprint: string; answer: RepeatableAnswer | null }[] = await manager.query(
      'SELECT fingerprint, answer FROM idempotency_keys WHERE actor = $1 AND key = $2',
      [actor, key],
    );
    if (earlier?.fingerprint !== fingerprint) return 'different';
    return earlier.answer ?? 'under way';
  });
}

/** Null: nothing came of it that would be the same again; the next one is the first. */
export function endRepeatable(
  transactions: Transactions,
  { actor, key, fingerprint }: RepeatableRequest,
  answer: RepeatableAnswer | null,
): Promise<void> {
  return transactions.run(async ({ manager }) => {
    const which = 'actor = $1 AND key = $2 AND fingerprint = $3 AND answer IS NULL';
    if (answer === null) {
      await manager.query(`DELETE FROM idempotency_keys WHERE ${which}`, [actor, key, fingerprint]);
      return;
    }
    const kept = [actor, key, fingerprint, JSON.stringify(answer)];
    await manager.query(`UPDATE idempotency_keys SET answer = $4 WHERE ${which}`, kept);
  });
}
