import type {
  ApiKeyView,
  ApiScope,
  AuditView,
  BrokerView,
  DesktopView,
  ExpectedOperationView,
  ExplanationView,
  HostView,
  KeptCheckpointView,
  KeyRotationView,
  KeyView,
  OperationView,
  Page,
  PoolView,
  RehearsedView,
  RetiredBrokerView,
} from '@dormouse/views';
import type { Consent, JsonObject } from '@dormouse/session';
import { errorOf } from './problem';
import { isOk, reach, textOf, type Answered } from './reach';

export interface ApiAccess {
  /** Without a slash at the end. */
  readonly url: string;
  readonly adminKey: string;
}

export type DesktopCommand = 'start' | 'save' | 'restore' | 'stop';

export type HostChange = 'cordon' | 'uncordon' | 'drain' | 'fence';

export interface CommandBody {
  readonly reason: string;
  readonly force?: boolean;
  /** When it is forced: called off unless it begins within so long. */
  readonly validForSeconds?: number;
  readonly fresh?: boolean;
  readonly checkpointId?: string;
}

/** As many rows as the api gives at once: a long list is asked for in few calls. */
const largestPage = 500;

/** The admin API. Every method throws the error that the api answered with, or SERVICE_UNAVAILABLE when none did. */
export class ApiClient {
  constructor(private readonly access: ApiAccess) {}

  /** Every desktop, page by page. */
  desktops(): AsyncGenerator<DesktopView> {
    return this.pages('/v1/desktops');
  }

  desktop(id: string): Promise<DesktopView> {
    return this.call('GET', desktopPath(id));
  }

  /** Answers the operation instead when the examination of the launch spec takes its time. */
  putDesktop(id: string, desktop: { poolId?: string; launchSpec: JsonObject }): Promise<DesktopView | OperationView> {
    return this.call('PUT', desktopPath(id), desktop);
  }

  async deleteDesktop(id: string, reason?: string): Promise<void> {
    await this.call('DELETE', desktopPath(id) + queryOf({ reason }));
  }

  /** @param body `force` for save and stop; `fresh` for save; `checkpointId` for restore: another than its own loses what came after it */
  command(id: string, command: DesktopCommand, body: CommandBody): Promise<OperationView> {
    return this.call('POST', `${desktopPath(id)}/${command}`, body);
  }

  /** Why it is in its state, what comes next, and what did not come. */
  explain(id: string): Promise<ExplanationView> {
    return this.call('GET', `${desktopPath(id)}/explain`);
  }

  /** Has a step taken with a desktop that is restore-blocked, though it loses work. */
  consent(id: string, body: { to: Consent; reason: string }): Promise<OperationView> {
    return this.call('POST', `${desktopPath(id)}/consent`, body);
  }

  hold(id: string, body: { until: string; reason: string }): Promise<DesktopView> {
    return this.call('PUT', `${desktopPath(id)}/hold`, body);
  }

  /** Says which broker it belongs to; null: the one that speaks of it next. */
  nameBroker(id: string, body: { source: string | null; reason: string }): Promise<DesktopView> {
    return this.call('PUT', `${desktopPath(id)}/broker`, body);
  }

  unhold(id: string, reason: string): Promise<DesktopView> {
    return this.call('DELETE', `${desktopPath(id)}/hold?reason=${encodeURIComponent(reason)}`);
  }

  /** Boots or wakes it ahead of its user, and holds it until then if a time is given. */
  prewarm(id: string, body: { until?: string; reason: string }): Promise<DesktopView> {
    return this.call('POST', `${desktopPath(id)}/prewarm`, body);
  }

  cancel(operationId: string, reason: string): Promise<OperationView> {
    return this.call('POST', `/v1/operations/${encodeURIComponent(operationId)}/cancel`, { reason });
  }

  /** What events would lead to if they came now, one after the other. @param events CloudEvents */
  async rehearse(events: readonly JsonObject[]): Promise<readonly RehearsedView[]> {
    return (await this.call<{ items: readonly RehearsedView[] }>('POST', '/v1/events/rehearse', { events })).items;
  }

  operation(id: string): Promise<ExpectedOperationView> {
    return this.call('GET', `/v1/operations/${encodeURIComponent(id)}`);
  }

  /** Newest first. */
  async operationsOf(desktopId: string): Promise<readonly OperationView[]> {
    const { items } = await this.call<{ items: readonly OperationView[] }>(
      'GET',
      `${desktopPath(desktopId)}/operations`,
    );
    return items;
  }

  /** The checkpoints of a desktop, newest first, page by page. */
  checkpoints(desktopId: string): AsyncGenerator<KeptCheckpointView> {
    return this.pages(`${desktopPath(desktopId)}/checkpoints`);
  }

  pinCheckpoint(desktopId: string, checkpointId: string, reason: string): Promise<KeptCheckpointView> {
    return this.call('PUT', pinPath(desktopId, checkpointId), { reason });
  }

  unpinCheckpoint(desktopId: string, checkpointId: string, reason: string): Promise<KeptCheckpointView> {
    return this.call('DELETE', pinPath(desktopId, checkpointId) + queryOf({ reason }));
  }

  pool(id: string): Promise<PoolView> {
    return this.call('GET', `/v1/pools/${encodeURIComponent(id)}`);
  }

  putPool(id: string, policy: JsonObject): Promise<PoolView> {
    return this.call('PUT', `/v1/pools/${encodeURIComponent(id)}`, { policy });
  }

  async hosts(): Promise<readonly HostView[]> {
    return (await this.call<{ items: readonly HostView[] }>('GET', '/v1/hosts')).items;
  }

  changeHost(id: string, command: HostChange, reason: string): Promise<HostView> {
    return this.call('POST', `/v1/hosts/${encodeURIComponent(id)}/${command}`, { reason });
  }

  async brokers(): Promise<readonly BrokerView[]> {
    return (await this.call<{ items: readonly BrokerView[] }>('GET', '/v1/brokers')).items;
  }

  /** It is gone for good: nothing that it has said counts any more. */
  retireBroker(source: string, reason: string): Promise<RetiredBrokerView> {
    return this.call('POST', `/v1/brokers/${encodeURIComponent(source)}/retire`, { reason });
  }

  /** Every data key, page by page; nothing of the keys themselves. */
  keys(): AsyncGenerator<KeyView> {
    return this.pages('/v1/keys');
  }

  /** Takes a few seconds at most, and tells what remains to be done. */
  rotateKeys(body: { reason: string; rewrapOnly?: boolean }): Promise<KeyRotationView> {
    return this.call('POST', '/v1/keys/rotate', body);
  }

  /** The key itself is in this answer and nowhere else. Without pools it is for all. */
  createApiKey(
    name: string,
    body: { scope: ApiScope; pools?: readonly string[]; expiresInDays?: number; reason: string },
  ): Promise<ApiKeyView & { readonly key: string }> {
    return this.call('PUT', apiKeyPath(name), body);
  }

  async apiKeys(): Promise<readonly ApiKeyView[]> {
    return (await this.call<{ items: readonly ApiKeyView[] }>('GET', '/v1/api-keys')).items;
  }

  revokeApiKey(name: string, reason: string): Promise<ApiKeyView> {
    return this.call('DELETE', apiKeyPath(name) + queryOf({ reason }));
  }

  /** Newest first, page by page. @param most no more than these are wanted */
  audit(
    narrowed: { actor?: string; action?: string; target?: string } = {},
    most = largestPage,
  ): AsyncGenerator<AuditView> {
    return this.pages('/v1/audit', { ...narrowed, limit: String(Math.min(most, largestPage)) });
  }

  /** Lines of JSON, oldest first, in pieces as they come. */
  async *exportAudit(before: string): AsyncGenerator<string> {
    const response = await this.ask('GET', `/v1/audit/export${queryOf({ before })}`);
    const text = new TextDecoder();
    for await (const bytes of response.body) yield text.decode(bytes, { stream: true });
  }

  pruneAudit(body: { before: string; reason: string }): Promise<{ readonly removed: number }> {
    return this.call('POST', '/v1/audit/prune', body);
  }

  private async *pages<T>(path: string, narrowed: Query = {}): AsyncGenerator<T> {
    let cursor: string | undefined;
    do {
      const page: Page<T> = await this.call('GET', path + queryOf({ limit: String(largestPage), ...narrowed, cursor }));
      yield* page.items;
      cursor = page.nextCursor ?? undefined;
    } while (cursor !== undefined);
  }

  private async call<T>(method: string, path: string, body?: object): Promise<T> {
    const text = await textOf(await this.ask(method, path, body));
    return (text === '' ? undefined : JSON.parse(text)) as T;
  }

  private async ask(method: string, path: string, body?: object): Promise<Answered> {
    const response = await reach(this.access.url + path, {
      method,
      headers: {
        authorization: `Bearer ${this.access.adminKey}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    if (!isOk(response)) throw await errorOf(response);
    return response;
  }
}

function desktopPath(id: string): string {
  return `/v1/desktops/${encodeURIComponent(id)}`;
}

function apiKeyPath(name: string): string {
  return `/v1/api-keys/${encodeURIComponent(name)}`;
}

type Query = Readonly<Record<string, string | undefined>>;

function queryOf(query: Query): string {
  const given = Object.entries(query).filter((pair): pair is [string, string] => pair[1] !== undefined);
  return given.length === 0 ? '' : `?${new URLSearchParams(given).toString()}`;
}

function pinPath(desktopId: string, checkpointId: string): string {
  return `${desktopPath(desktopId)}/checkpoints/${encodeURIComponent(checkpointId)}/pin`;
}
