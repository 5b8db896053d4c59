import type { JsonObject } from '@dormouse/session';
import { Column, Entity, PrimaryColumn } from 'typeorm';

@Entity('hosts')
export class HostEntity {
  @PrimaryColumn('text')
  id!: string;

  @Column('jsonb')
  capabilities!: JsonObject;

  @Column('timestamptz', { name: 'started_at' })
  startedAt!: Date;

  @Column('timestamptz', { name: 'seen_at' })
  seenAt!: Date;

  /** What operators want of it: only an `open` one is given machines. */
  @Column('text')
  intent!: 'open' | 'cordoned' | 'draining' | 'fenced';

  @Column('text', { name: 'intent_reason', nullable: true })
  intentReason!: string | null;
}
