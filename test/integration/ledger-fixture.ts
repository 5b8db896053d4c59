import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startPostgres, type EmbeddedPostgres } from '@dormouse/embedded';
import { SessionLedger, type ClaimedOperation, type Delivery, type Fence, type Receipt } from '@dormouse/ledger';
import { createDataSource, runMigrations } from '@dormouse/persistence';
import { parseBrokerEvent, type JsonObject, type OperationKind } from '@dormouse/session';
import type { DataSource } from 'typeorm';

export const graceMs = 10_000;
export const leaseMs = 15_000;

/** A ledger on a Postgres of its own, with a clock that stands still until it is moved. */
export class LedgerFixture {
  nowMs = Date.now();
  nudges = 0;
  readonly ledger: SessionLedger;

  private constructor(
    readonly directory: string,
    readonly postgres: EmbeddedPostgres,
    readonly dataSource: DataSource,
  ) {
    this.ledger = this.ledgerOn(dataSource);
  }

  static async start(): Promise<LedgerFixture> {
    const directory = await mkdtemp(join(tmpdir(), 'dormouse-ledger-'));
    const postgres = await startPostgres({ directory, log: () => undefined, durable: false });
    const dataSource = createDataSource(postgres.url);
    await dataSource.initialize();
    await runMigrations(dataSource);
    const fixture = new LedgerFixture(directory, postgres, dataSource);
    await fixture.hostIsAlive();
    await fixture.ledger.putPool('default', { graceMs, keepCheckpoints: 2 }, 'test');
    return fixture;
  }

  async stop(): Promise<void> {
    await this.dataSource.destroy();
    await this.postgres.stop();
    await rm(this.directory, { recursive: true, force: true });
  }

  ledgerOn(dataSource: DataSource): SessionLedger {
    return new SessionLedger(dataSource, {
      now: () => new Date(this.nowMs),
      onOutbox: () => void (this.nudges += 1),
    });
  }

  async hostIsAlive(): Promise<void> {
    await this.ledger.announceHost({ id: 'host-1', capabilities: {} });
  }

  /** A webhook without epoch and sequence unless `data` has them. */
  delivery(desktopId: string, type: string, data: JsonObject = {}): Delivery {
    const webhookId = randomUUID();
    const event = parseBrokerEvent({
      specversion: '1.0',
      id: webhookId,
      source: '/broker',
      type: `vdc.${type}`,
      data: { desktopId, connectionId: 'c1', ...data },
    });
    return { webhookId, event };
  }

  send(desktopId: string, type: string, data: JsonObject = {}): Promise<Receipt> {
    return this.ledger.receiveEvent(this.delivery(desktopId, `session.${type}`, data));
  }

  /** The open operation, claimed; it must be of this kind. */
  async claimOpen(desktopId: string, kind: OperationKind, workerId = 'worker-1'): Promise<ClaimedOperation> {
    const { operation } = await this.ledger.viewDesktop(desktopId);
    expect(operation?.kind).toBe(kind);
    const claimed = await this.ledger.claim(operation!.id, operation!.generation, workerId, leaseMs);
    expect(claimed).not.toBeNull();
    return claimed!;
  }

  async work(desktopId: string, kind: OperationKind): Promise<void> {
    const { fence } = await this.claimOpen(desktopId, kind);
    await this.ledger.finish(fence, { status: 'succeeded' });
  }

  async off(id: string): Promise<string> {
    await this.hostIsAlive();
    await this.ledger.registerDesktop({ id, poolId: 'default', launchSpec: { memoryMiB: 64 }, actor: 'test' });
    await this.work(id, 'register');
    return id;
  }

  /** A user has connected with `c1`, and the desktop runs. */
  async inUse(desktopId: string): Promise<string> {
    await this.off(desktopId);
    await this.send(desktopId, 'connected');
    await this.work(desktopId, 'boot');
    return desktopId;
  }

  async inGrace(desktopId: string): Promise<string> {
    await this.inUse(desktopId);
    await this.send(desktopId, 'disconnected');
    return desktopId;
  }

  async queued(desktopId: string): Promise<string> {
    await this.inGrace(desktopId);
    await this.waitOutGrace(desktopId);
    return desktopId;
  }

  async waitOutGrace(desktopId: string, ms = graceMs): Promise<void> {
    const { generation } = await this.ledger.viewDesktop(desktopId);
    this.nowMs += ms;
    await this.ledger.graceElapsed(desktopId, generation);
  }

  async capturing(desktopId: string): Promise<Fence> {
    return (await this.claimOpen(await this.queued(desktopId), 'save')).fence;
  }

  async committing(desktopId: string): Promise<Fence> {
    const fence = await this.capturing(desktopId);
    expect(await this.ledger.authorizeSwitchover(fence)).toBe(true);
    return fence;
  }

  async resident(desktopId: string): Promise<Fence> {
    const fence = await this.committing(desktopId);
    expect(await this.ledger.commitCheckpoint(fence, checkpoint())).toBe(true);
    return fence;
  }

  /** Saved by itself, in memory, and left by its worker. The pool must want it so. */
  async lingering(desktopId: string): Promise<Fence> {
    const fence = await this.resident(desktopId);
    expect(await this.ledger.linger(fence)).not.toBeNull();
    return fence;
  }

  async saved(desktopId: string): Promise<string> {
    const fence = await this.resident(desktopId);
    expect(await this.ledger.beginRelease(fence)).toBe(true);
    await this.ledger.finish(fence, { status: 'succeeded' });
    return desktopId;
  }

  async state(desktopId: string): Promise<string> {
    return (await this.ledger.viewDesktop(desktopId)).state;
  }

  /** Every row of a table that speaks of this desktop, for telling whether anything has changed. */
  rows(table: 'operations' | 'checkpoints' | 'inbox_events', desktopId: string): Promise<unknown[]> {
    return this.dataSource.query(`SELECT * FROM ${table} WHERE desktop_id = $1 ORDER BY 1`, [desktopId]);
  }

  outbox(desktopId: string): Promise<{ action: string; jobId: string; queue: string; runAt: Date }[]> {
    return this.dataSource.query(
      `SELECT action, job_id AS "jobId", queue, run_at AS "runAt" FROM outbox
       WHERE payload->>'desktopId' = $1 ORDER BY id`,
      [desktopId],
    );
  }
}

export function checkpoint(id: string = randomUUID()) {
  return {
    id,
    storagePrefix: `checkpoints/${id}/`,
    diskGeneration: randomUUID(),
    ramBytes: 64 * 2 ** 20,
    storedBytes: 5_000_000_000,
    facts: { pages: 3 },
  };
}
