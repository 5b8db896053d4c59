import type { KeyRing } from '@dormouse/keys';
import type { SessionLedger } from '@dormouse/ledger';
import type { KeyRotationView } from '@dormouse/views';
import { Inject, Injectable } from '@nestjs/common';
import { tokens } from '../dependencies';

/** After this long the rest is left to the next request: none holds a connection for long, however many keys there are. */
const patienceMs = 2_000;

export interface RotateKeysCommand {
  readonly reason: string;
  readonly rewrapOnly?: boolean;
  readonly actor: string;
}

@Injectable()
export class RotateKeysUsecase {
  constructor(
    @Inject(tokens.keyRing) private readonly keyRing: KeyRing,
    @Inject(tokens.ledger) private readonly ledger: SessionLedger,
  ) {}

  /** @throws KEY_UNAVAILABLE; KEY_REJECTED when the provider is not the one that has wrapped the keys */
  async execute({ reason, rewrapOnly = false, actor }: RotateKeysCommand): Promise<KeyRotationView> {
    // Before it begins: what was killed half way is in the log, too.
    await this.ledger.recordAudit({
      actor,
      action: 'keys.rotate',
      target: 'keys',
      reason,
      outcome: 'accepted',
      details: { rewrapOnly },
    });
    if (!rewrapOnly) await this.keyRing.addKek();
    const { rejected, ...done } = await this.keyRing.rewrapAll({ signal: AbortSignal.timeout(patienceMs) });
    return { ...done, rejected: rejected.map(({ purpose, message }) => ({ scope: purpose, message })) };
  }
}
