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
}
