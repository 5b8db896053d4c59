import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { sendWebhook, type CommandBody, type DesktopCommand } from '@dormouse/api-client';
import { DormouseError } from '@dormouse/errors';
import { RunDirectory } from '@dormouse/hypervisor';
import type { DesktopView, OperationView } from '@dormouse/views';
import type { JsonObject } from '@dormouse/session';
import { GuestClient, type GuestImage } from '../guest';
import { filesBelow } from './files';
import { processesOf, type FoundProcess } from './processes';
import type { RunningDormouse } from './running-dormouse';

const lookEveryMs = 20;

/** A launch spec for the test guest. */
export function guestLaunchSpec(image: GuestImage, memoryMiB: number): JsonObject {
  return {
    machine: 'pc-q35-7.2',
    cpuModel: 'qemu64',
    memoryMiB,
    cpus: 1,
    disks: [{ image: image.goldenImage }],
    nics: [{ model: 'virtio-net-pci' }],
    kernel: { image: image.kernel, initrd: image.initramfs, commandLine: image.commandLine },
  };
}

/** One desktop as its broker, its user and its admin see it. */
export class Desk {
  private sequence = 0;
  private readonly epoch = randomUUID();

  constructor(
    private dormouse: RunningDormouse,
    readonly id: string,
  ) {}

  /** The Dormouse was started again; desktop, user and broker are the same. */
  goOnIn(dormouse: RunningDormouse): void {
    this.dormouse = dormouse;
  }

  /** The Dormouse it is in. */
  get home(): RunningDormouse {
    return this.dormouse;
  }

  get runDirectory(): RunDirectory {
    return new RunDirectory(join(this.dormouse.dataDir, 'run'), this.id);
  }

  async register(launchSpec: JsonObject, poolId = 'default'): Promise<void> {
    await this.dormouse.api.putDesktop(this.id, { poolId, launchSpec });
  }

  /** Starts it and waits until it runs. @throws what it could not be started for */
  async start(): Promise<void> {
    await this.does('start');
  }

  /** What its admin asks for. @throws what it has failed for */
  async does(command: DesktopCommand, more: Omit<CommandBody, 'reason'> = {}): Promise<OperationView> {
    const operation = await this.command(command, more);
    if (operation.status === 'succeeded') return operation;
    const { code, message, details } = operation.error ?? {
      code: 'CANCELLED',
      message: 'nobody says why',
      details: {},
    };
    throw new DormouseError(code, `the ${command} of ${this.id} has ${operation.status}: ${message}`, details);
  }

  /** What its admin asks for, and how that ended. */
  async command(command: DesktopCommand, more: Omit<CommandBody, 'reason'> = {}): Promise<OperationView> {
    const { id } = await this.dormouse.api.command(this.id, command, { reason: 'asked for by a test', ...more });
    return this.ended(id);
  }

  /** What the broker says of this desktop, signed, with the next sequence number. */
  async broker(
    event: 'connect_requested' | 'connected' | 'reconnected' | 'disconnected',
    connectionId = 'seat',
    more: JsonObject = {},
  ): Promise<void> {
    await sendWebhook(
      { url: this.dormouse.url, secret: this.dormouse.keys.webhookSecrets[0]! },
      {
        type: `vdc.session.${event}`,
        source: 'test-broker',
        data: {
          brokerEpoch: this.epoch,
          sequence: ++this.sequence,
          desktopId: this.id,
          connectionId,
          occurredAt: new Date().toISOString(),
          ...(event === 'disconnected' ? { reason: 'user' } : {}),
          ...more,
        },
      },
    );
  }

  view(): Promise<DesktopView> {
    return this.dormouse.api.desktop(this.id);
  }

  /**
   * Waits until the desktop is as wished.
   * @param everyMs how often to look: that takes processor time, which a bench would have to share
   * @throws GUEST_UNRESPONSIVE with the state it is in instead
   */
  async until(
    wish: (desktop: DesktopView) => boolean,
    patienceMs = 120_000,
    everyMs = lookEveryMs,
  ): Promise<DesktopView> {
    const deadline = Date.now() + patienceMs;
    for (;;) {
      const desktop = await this.view();
      if (wish(desktop)) return desktop;
      if (Date.now() > deadline) {
        const state = JSON.stringify({
          state: desktop.state,
          operation: desktop.operation,
          lastError: desktop.lastError,
        });
        throw new DormouseError('GUEST_UNRESPONSIVE', `${this.id} is not as wished after ${patienceMs} ms: ${state}`);
      }
      await sleep(everyMs);
    }
  }

  /** Waits for an operation's end, however it ends. */
  async ended(operationId: string, patienceMs = 240_000): Promise<OperationView> {
    const deadline = Date.now() + patienceMs;
    for (;;) {
      const operation = await this.dormouse.api.operation(operationId);
      if (operation.endedAt !== null) return operation;
      if (Date.now() > deadline) throw new DormouseError('INTERNAL', `operation ${operationId} never ends`);
      await sleep(lookEveryMs);
    }
  }

  /** The newest operation of a kind. */
  async latest(kind: OperationView['kind']): Promise<OperationView> {
    const found = (await this.dormouse.api.operationsOf(this.id)).find((operation) => operation.kind === kind);
    if (found === undefined) throw new DormouseError('OPERATION_UNKNOWN', `${this.id} never had a ${kind}`);
    return found;
  }

  /** QEMU and pagers: what works in its run directory. */
  processes(): Promise<FoundProcess[]> {
    return processesOf(this.runDirectory.path);
  }

  /** The process of one of the two, as soon as it is there. */
  async process(role: 'qemu' | 'pager', patienceMs = 30_000): Promise<number> {
    const deadline = Date.now() + patienceMs;
    for (;;) {
      const found = await this.runDirectory.liveProcess(role);
      if (found !== null) return found.pid;
      if (Date.now() > deadline) throw new DormouseError('MACHINE_GONE', `${this.id} has no ${role}`);
      await sleep(2);
    }
  }

  /** What is stored of it, as paths below its own folder. */
  objects(): Promise<string[]> {
    return filesBelow(join(this.dormouse.dataDir, 'storage', 'desktops', this.id));
  }

  /** The layers of its disks. */
  layers(): Promise<string[]> {
    return filesBelow(join(this.dormouse.dataDir, 'disks', this.id));
  }

  /** A line to the probe inside the guest, as soon as the machine is there. */
  guest(patienceMs?: number): Promise<GuestClient> {
    return GuestClient.connectWhenThere(this.runDirectory.socket('probe.sock'), patienceMs);
  }
}
