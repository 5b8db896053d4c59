import type { JsonObject } from '@dormouse/session';
import { Column, Entity, PrimaryGeneratedColumn } from 'typeorm';

@Entity('audit_log')
export class AuditEntryEntity {
  @PrimaryGeneratedColumn('increment', { type: 'bigint' })
  id!: string;

  @Column('timestamptz')
  at!: Date;

  @Column('text')
  actor!: string;

  @Column('text')
  action!: string;

  @Column('text')
  target!: string;

  @Column('text', { nullable: true })
  reason!: string | null;

  @Column('text')
  outcome!: string;

  @Column('jsonb')
  details!: JsonObject;
}
