import type { AbsenceCause, JsonObject, KeptCondition, MachineState, Presence, RecordedError } from '@dormouse/session';
import { Column, Entity, PrimaryColumn } from 'typeorm';

@Entity('desktops')
export class DesktopEntity {
  @PrimaryColumn('text')
  id!: string;

  @Column('text', { name: 'pool_id' })
  poolId!: string;

  /** Of the pool, as it was at the last decision. */
  @Column('integer', { name: 'pool_version' })
  poolVersion!: number;

  @Column('text', { name: 'host_id', nullable: true })
  hostId!: string | null;

  @Column('jsonb', { name: 'launch_spec' })
  launchSpec!: JsonObject;

  /** Of the launch spec, made by the database. */
  @Column({ type: 'integer', name: 'memory_mib', nullable: true, insert: false, update: false })
  memoryMiB!: number | null;

  @Column('jsonb', { nullable: true })
  fingerprint!: JsonObject | null;

  @Column('text', { name: 'machine_state' })
  machineState!: MachineState;

  @Column('timestamptz', { name: 'state_since' })
  stateSince!: Date;

  @Column('integer')
  generation!: number;

  @Column('jsonb')
  presence!: Presence;

  /** The broker that it belongs to. */
  @Column('text', { nullable: true })
  broker!: string | null;

  @Column('timestamptz', { name: 'absent_since', nullable: true })
  absentSince!: Date | null;

  @Column('text', { name: 'absence_cause', nullable: true })
  absenceCause!: AbsenceCause | null;

  @Column('timestamptz', { name: 'doubt_since', nullable: true })
  doubtSince!: Date | null;

  @Column('timestamptz', { name: 'woke_at', nullable: true })
  wokeAt!: Date | null;

  /** Woken, and nobody has been there since. */
  @Column('boolean')
  untouched!: boolean;

  @Column('timestamptz', { name: 'held_until', nullable: true })
  heldUntil!: Date | null;

  @Column('text', { name: 'held_by', nullable: true })
  heldBy!: string | null;

  @Column('text', { name: 'hold_reason', nullable: true })
  holdReason!: string | null;

  @Column('timestamptz', { name: 'grace_deadline', nullable: true })
  graceDeadline!: Date | null;

  @Column('uuid', { name: 'checkpoint_id', nullable: true })
  checkpointId!: string | null;

  /** The layer of the disk that is written to. */
  @Column('uuid', { name: 'disk_generation', nullable: true })
  diskGeneration!: string | null;

  @Column('integer', { name: 'restore_failures' })
  restoreFailures!: number;

  @Column('integer', { name: 'wakes_in_vain' })
  wakesInVain!: number;

  @Column('integer', { name: 'save_failures' })
  saveFailures!: number;

  @Column('jsonb', { name: 'last_error', nullable: true })
  lastError!: RecordedError | null;

  /** What QEMU says of its guest; null while that simply runs. */
  @Column('jsonb', { name: 'guest_condition', nullable: true })
  guestCondition!: KeptCondition | null;

  @Column('timestamptz', { name: 'created_at' })
  createdAt!: Date;

  @Column('timestamptz', { name: 'updated_at' })
  updatedAt!: Date;
}
