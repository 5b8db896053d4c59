import { setTimeout as sleep } from 'node:timers/promises';
import type { DormouseError } from '@dormouse/errors';
import { limits } from '@dormouse/limits';
import { keyUnavailable } from './key-errors';

export interface VaultPatience {
  /** For one answer, its body included. */
  readonly answerMs: number;
  /** Before the second attempt; twice that before the third. */
  readonly pauseMs: number;
}

const usualPatience: VaultPatience = { answerMs: limits.vaultAnswer.ms, pauseMs: 200 };
const attempts = 3;
/** An answer has some hundred bytes. */
const longestAnswerBytes = 64 * 1024;
const longestQuote = 200;

/** Vault's `data`; or, when it says that the request itself is wrong (400), why. */
export type VaultAnswer =
  { readonly refused: null; readonly data: Readonly<Record<string, unknown>> } | { readonly refused: string };

/** POST requests to a Vault. What may pass by itself is tried three times: no answer, 429, 5xx (503: it is sealed). */
export class VaultClient {
  private readonly patience: VaultPatience;

  constructor(
    private readonly access: {
      /** `https://host:port/v1/<mount>` */
      readonly base: string;
      readonly token: string;
      readonly patience: VaultPatience | undefined;
    },
  ) {
    this.patience = access.patience ?? usualPatience;
  }

  /** @throws KEY_UNAVAILABLE, which says what was the matter the last time */
  async post(path: string, body: Readonly<Record<string, string>>): Promise<VaultAnswer> {
    let pauseMs = this.patience.pauseMs;
    for (let attempt = 1; ; attempt += 1) {
      const outcome = await this.attempt(path, body);
      if ('answer' in outcome) return outcome.answer;
      if (!outcome.passing || attempt === attempts) throw outcome.error;
      await sleep(pauseMs);
      pauseMs *= 2;
    }
  }

  private async attempt(
    path: string,
    body: Readonly<Record<string, string>>,
  ): Promise<{ answer: VaultAnswer } | { error: DormouseError; passing: boolean }> {
    const where = new URL(this.access.base).origin;
    let response: Response;
    let text: string;
    try {
      response = await fetch(`${this.access.base}/${path}`, {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          'x-vault-token': this.access.token,
          'x-vault-request': 'true',
        },
        body: JSON.stringify(body),
        // The token is for this address only.
        redirect: 'manual',
        signal: AbortSignal.timeout(this.patience.answerMs),
      });
      text = await readAtMost(response, longestAnswerBytes);
    } catch (cause) {
      return {
        error: keyUnavailable(`the Vault at ${where} does not answer: ${reasonOf(cause)}`, cause),
        passing: true,
      };
    }
    const { status } = response;
    const { data, errors } = parse(text);
    if (status === 200 && typeof data === 'object' && data !== null) {
      return { answer: { refused: null, data: data as Record<string, unknown> } };
    }
    const said = Array.isArray(errors) && typeof errors[0] === 'string' ? quote(errors[0]) : `status ${status}`;
    if (status === 400) return { answer: { refused: said } };
    const advice = { 403: ' Check VAULT_TOKEN and its policy.', 404: ' Check the mount and the key in KEY_URL.' }[
      status
    ];
    return {
      error: keyUnavailable(`the Vault at ${where} refuses ${path} (${status}): ${said}.${advice ?? ''}`),
      passing: status === 429 || status >= 500,
    };
  }
}

async function readAtMost(response: Response, mostBytes: number): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of (response.body ?? []) as AsyncIterable<Uint8Array>) {
    bytes += chunk.length;
    if (bytes > mostBytes) throw new Error(`its answer is longer than ${mostBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function parse(text: string): { data?: unknown; errors?: unknown } {
  try {
    return (JSON.parse(text) ?? {}) as { data?: unknown; errors?: unknown };
  } catch {
    return {}; // told by its status
  }
}

/** `fetch` says "fetch failed" and hides why in the cause. */
function reasonOf(error: unknown): string {
  const { message, cause } = error as Error;
  return cause instanceof Error && cause.message !== '' ? `${message} (${cause.message})` : message;
}

function quote(text: string): string {
  return text
    .slice(0, longestQuote)
    .replace(/[\p{Cc}\p{Cs}]+/gu, ' ')
    .trim();
}
