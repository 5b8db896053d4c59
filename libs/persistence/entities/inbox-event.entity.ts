import type { JsonObject } from '@dormouse/session';
import { Column, Entity, PrimaryColumn } from 'typeorm';

@Entity('inbox_events')
export class InboxEventEntity {
  @PrimaryColumn('text', { name: 'webhook_id' })
  webhookId!: string;

  /** The broker: webhook ids are its own, and so are the ids of its events. */
  @PrimaryColumn('text')
  source!: string;

  /** Null, as the digest, in rows from before they were kept. */
  @Column('text', { name: 'event_id', nullable: true })
  eventId!: string | null;

  /** Of what the event says, to tell a repetition from another event under its id. */
  @Column('text', { nullable: true })
  digest!: string | null;

  @Column('text')
  type!: string;

  @Column('text', { name: 'desktop_id', nullable: true })
  desktopId!: string | null;

  @Column('jsonb')
  data!: JsonObject;

  /** What was wrong with its side fields. */
  @Column('jsonb', { nullable: true })
  notes!: readonly string[] | null;

  @Column('timestamptz', { name: 'occurred_at', nullable: true })
  occurredAt!: Date | null;

  @Column('timestamptz', { name: 'received_at' })
  receivedAt!: Date;

  @Column('text')
  outcome!: string;
}
