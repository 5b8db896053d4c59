import type {
  Again,
  CapName,
  JsonObject,
  OperationKind,
  OperationPhase,
  OperationStatus,
  RecordedError,
} from '@dormouse/session';
import { Column, Entity, PrimaryColumn } from 'typeorm';

@Entity('operations')
export class OperationEntity {
  @PrimaryColumn('uuid')
  id!: string;

  @Column('text', { name: 'desktop_id' })
  desktopId!: string;

  @Column('text')
  kind!: OperationKind;

  @Column('text')
  phase!: OperationPhase;

  @Column('text')
  status!: OperationStatus;

  @Column('integer')
  generation!: number;

  @Column('text')
  reason!: string;

  @Column('text', { name: 'requested_by' })
  requestedBy!: string;

  @Column('timestamptz', { name: 'cancel_requested_at', nullable: true })
  cancelRequestedAt!: Date | null;

  /** Presence does not hinder it. */
  @Column('boolean')
  forced!: boolean;

  /** After this moment it must not begin: what it was asked for may be over. Null: it may wait for ever. */
  @Column('timestamptz', { name: 'valid_until', nullable: true })
  validUntil!: Date | null;

  /** A user waits for it. */
  @Column('boolean')
  awaited!: boolean;

  /** One more of its kind follows unless it ends as it should. */
  @Column('jsonb', { nullable: true })
  again!: Again | null;

  /** Of the desktop, when the operation was opened. */
  @Column('text', { name: 'pool_id' })
  poolId!: string;

  /** The cap of its pool that lets it not begin; it has no job while it waits. */
  @Column('text', { name: 'waits_for_pool', nullable: true })
  waitsForPool!: CapName | null;

  @Column('text', { name: 'host_id', nullable: true })
  hostId!: string | null;

  @Column('text', { name: 'worker_id', nullable: true })
  workerId!: string | null;

  @Column('timestamptz', { name: 'lease_expires_at', nullable: true })
  leaseExpiresAt!: Date | null;

  /** Which of the slots of its host, and of the storage, its claim has found; counted from 1, null where there is no limit. */
  @Column('smallint', { name: 'host_slot', nullable: true })
  hostSlot!: number | null;

  @Column('smallint', { name: 'storage_slot', nullable: true })
  storageSlot!: number | null;

  @Column('integer')
  attempt!: number;

  /** What the operation is to work on beyond the desktop's row: the launch spec to be examined, the checkpoint to go back to. */
  @Column('jsonb', { nullable: true })
  input!: JsonObject | null;

  @Column('jsonb')
  progress!: JsonObject;

  @Column('jsonb', { nullable: true })
  result!: JsonObject | null;

  @Column('jsonb', { nullable: true })
  error!: RecordedError | null;

  @Column('timestamptz', { name: 'created_at' })
  createdAt!: Date;

  @Column('timestamptz', { name: 'started_at', nullable: true })
  startedAt!: Date | null;

  @Column('timestamptz', { name: 'phase_since' })
  phaseSince!: Date;

  @Column('timestamptz', { name: 'ended_at', nullable: true })
  endedAt!: Date | null;
}
