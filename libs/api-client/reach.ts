import { Agent, request, type IncomingMessage } from 'node:http';
import { DormouseError, isDormouseError } from '@dormouse/errors';
import { limits, timedOut } from '@dormouse/limits';

export interface Asked {
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
}

export interface Answered {
  readonly url: string;
  readonly status: number;
  /** The bytes of the body as they come. @throws SERVICE_UNAVAILABLE when the rest does not come */
  readonly body: AsyncIterable<Buffer>;
}

/** Connections wait for the next call for less time than servers and proxies keep theirs: none ends under a request. */
const agentOptions = { keepAlive: true, timeout: 5_000 };
const plainAgent = new Agent(agentOptions);
let tlsAgent: Agent | null = null;

/**
 * Asks once, and waits for the head of the answer. By node:http, since a command line that lasts a moment would spend more processor time on
 * loading `fetch` than on all else.
 * @throws SERVICE_UNAVAILABLE when nobody is there, or says nothing for as long as `apiAnswer` allows
 */
export async function reach(url: string, { method, headers, body }: Asked): Promise<Answered> {
  const { origin, protocol } = new URL(url);
  const secure = protocol === 'https:' ? tls() : null;
  const text = body === undefined ? null : Buffer.from(body);
  const asking = (secure?.request ?? request)(url, {
    method,
    agent: secure === null ? plainAgent : (tlsAgent ??= new secure.Agent(agentOptions)),
    headers: { ...headers, ...(text !== null && { 'content-length': String(text.length) }) },
  });
  let response: IncomingMessage | null = null;
  const silence = setTimeout(() => (response ?? asking).destroy(timedOut('apiAnswer', origin)), limits.apiAnswer.ms);
  asking.once('close', () => clearTimeout(silence));
  try {
    response = await new Promise<IncomingMessage>((resolve, reject) => {
      asking.once('response', resolve).on('error', reject).end(text);
    });
    return { url, status: response.statusCode!, body: bodyOf(response, silence, origin) };
  } catch (cause) {
    throw unreachable(cause, `${whyNot(origin, cause)}. Start Dormouse with \`npm start\`, or set DORMOUSE_URL.`);
  }
}

export function isOk({ status }: Answered): boolean {
  return status >= 200 && status < 300;
}

export async function textOf({ body }: Answered): Promise<string> {
  const pieces: Buffer[] = [];
  for await (const piece of body) pieces.push(piece);
  return Buffer.concat(pieces).toString();
}

async function* bodyOf(response: IncomingMessage, silence: NodeJS.Timeout, origin: string): AsyncGenerator<Buffer> {
  try {
    for await (const piece of response) {
      silence.refresh();
      yield piece as Buffer;
    }
  } catch (cause) {
    throw unreachable(cause, `${origin} broke its answer off`);
  }
}

function whyNot(origin: string, cause: unknown): string {
  const { code, message } = cause as NodeJS.ErrnoException;
  return code === 'ECONNREFUSED' ? `nothing answers at ${origin}` : `${origin} cannot be asked: ${message}`;
}

function unreachable(cause: unknown, message: string): DormouseError {
  return isDormouseError(cause) ? cause : new DormouseError('SERVICE_UNAVAILABLE', message, {}, { cause });
}

/** Loaded only for those who talk through TLS: it takes as long as the rest of a call. */
function tls(): typeof import('node:https') {
  return process.getBuiltinModule('node:https');
}
