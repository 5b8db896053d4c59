import { setTimeout as sleep } from 'node:timers/promises';
import { DormouseError } from '@dormouse/errors';
import type { SessionLedger } from '@dormouse/ledger';
import type { DesktopView, OperationView } from '@dormouse/views';
import type { DormouseConfig } from '@dormouse/config';
import { parseNewLaunchSpec } from '@dormouse/qemu';
import type { JsonObject } from '@dormouse/session';
import { Inject, Injectable } from '@nestjs/common';
import type { Caller } from '../access';
import { tokens } from '../dependencies';
import { assertSpecAllowed } from './spec-limits';

const patienceMs = 15_000;
const pollMs = 50;

export interface RegisterDesktop {
  readonly id: string;
  readonly poolId: string;
  readonly launchSpec: unknown;
  readonly actor: string;
  readonly caller: Pick<Caller, 'name' | 'pools'>;
  readonly reason?: string | undefined;
}

export type RegistrationAnswer =
  | { readonly kind: 'registered'; readonly created: boolean; readonly desktop: DesktopView }
  | { readonly kind: 'pending'; readonly operation: OperationView };

/**
 * Registers a desktop and waits for the host's verdict on its launch spec: a desktop that could never be saved is refused
 * now, with the reason, and not when its user has left.
 */
@Injectable()
export class RegisterDesktopUsecase {
  constructor(
    @Inject(tokens.ledger) private readonly ledger: SessionLedger,
    @Inject(tokens.imageDirs) private readonly imageDirs: DormouseConfig['imageDirs'],
  ) {}

  /** @throws LAUNCH_SPEC_INVALID, LAUNCH_SPEC_FORBIDDEN, DESKTOP_NOT_MIGRATABLE, POOL_UNKNOWN, HOST_UNAVAILABLE, DESKTOP_BUSY */
  async execute({ launchSpec, caller, ...command }: RegisterDesktop): Promise<RegistrationAnswer> {
    const spec = parseNewLaunchSpec(launchSpec);
    assertSpecAllowed(caller, spec, this.imageDirs);
    const { desktop, operation, created } = await this.ledger.registerDesktop({
      ...command,
      launchSpec: spec as unknown as JsonObject,
    });
    if (operation === null) return { kind: 'registered', created, desktop };
    const examined = await this.ended(operation);
    if (examined.endedAt === null) return { kind: 'pending', operation: examined };
    if (examined.status === 'succeeded') {
      return { kind: 'registered', created, desktop: await this.ledger.viewDesktop(command.id) };
    }
    const { code, message, details } = examined.error ?? {
      code: 'SUPERSEDED' as const,
      message: `the examination of the launch spec was ${examined.status}; send the request again`,
      details: {},
    };
    throw new DormouseError(code, message, { ...details, operationId: examined.id });
  }

  /** The operation when it has ended, or as it is when patience has. */
  private async ended(operation: OperationView): Promise<OperationView> {
    const deadline = performance.now() + patienceMs;
    let latest = operation;
    while (latest.endedAt === null && performance.now() < deadline) {
      await sleep(pollMs);
      latest = await this.ledger.viewOperation(operation.id);
    }
    return latest;
  }
}
