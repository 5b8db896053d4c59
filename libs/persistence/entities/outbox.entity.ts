import type { JsonObject } from '@dormouse/session';
import { Column, Entity, PrimaryGeneratedColumn } from 'typeorm';

/** What is to be put into a queue, or taken out of it, written in the transaction that decided it. */
@Entity('outbox')
export class OutboxEntity {
  @PrimaryGeneratedColumn('increment', { type: 'bigint' })
  id!: string;

  /** `hasten`: as `add`, and a job that is there already gets this row's priority. */
  @Column('text')
  action!: 'add' | 'hasten' | 'remove';

  @Column('text')
  queue!: string;

  @Column('text')
  name!: string;

  @Column('text', { name: 'job_id' })
  jobId!: string;

  /** BullMQ's: lower is sooner, 0 before all. */
  @Column('smallint')
  priority!: number;

  @Column('jsonb')
  payload!: JsonObject;

  @Column('timestamptz', { name: 'run_at' })
  runAt!: Date;

  /** It stays here until then; `-infinity`: it goes at once. */
  @Column('timestamptz', { name: 'wait_until' })
  waitUntil!: Date | number;

  @Column('timestamptz', { name: 'created_at' })
  createdAt!: Date;

  @Column('timestamptz', { name: 'dispatched_at', nullable: true })
  dispatchedAt!: Date | null;
}
