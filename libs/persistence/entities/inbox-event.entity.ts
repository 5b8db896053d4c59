import type { JsonObject } from '@dormouse/session';
import { Column, Entity, PrimaryColumn } from 'typeorm';

@Entity('inbox_events')
export class InboxEventEntity {
  @PrimaryColumn('text', { name: 'webhook_id' })
  webhookId!: string;

  @Column('text')
  source!: string;

  @Column('text')
  type!: string;

  @Column('text', { name: 'desktop_id', nullable: true })
  desktopId!: string | null;

  @Column('jsonb')
  data!: JsonObject;

  @Column('timestamptz', { name: 'occurred_at', nullable: true })
  occurredAt!: Date | null;

  @Column('timestamptz', { name: 'received_at' })
  receivedAt!: Date;

  @Column('text')
  outcome!: string;
}
