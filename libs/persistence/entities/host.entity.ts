import type { JsonObject } from '@dormouse/session';
import { Column, Entity, PrimaryColumn } from 'typeorm';

@Entity('hosts')
export class HostEntity {
  @PrimaryColumn('text')
  id!: string;

  @Column('jsonb')
  capabilities!: JsonObject;

  /** See `HostTrouble` of the ledger. */
  @Column('jsonb')
  troubles!: JsonObject[];

  @Column('timestamptz', { name: 'started_at' })
  startedAt!: Date;

  @Column('timestamptz', { name: 'seen_at' })
  seenAt!: Date;

  /** What operators want of it: only an `open` one is given machines. */
  @Column('text')
  intent!: 'open' | 'cordoned' | 'draining' | 'fenced';

  /** The machine that the name belongs to; null: the next worker's. */
  @Column('jsonb', { nullable: true })
  claim!: JsonObject | null;

  /** Of one that was fenced and has not ended yet what it still ran. */
  @Column('jsonb', { name: 'fenced_claim', nullable: true })
  fencedClaim!: JsonObject | null;

  @Column('text', { name: 'intent_reason', nullable: true })
  intentReason!: string | null;
}
