import type { JsonObject, MachineState, Presence, RecordedError } from '@dormouse/session';
import { Column, Entity, PrimaryColumn } from 'typeorm';

@Entity('desktops')
export class DesktopEntity {
  @PrimaryColumn('text')
  id!: string;

  @Column('text', { name: 'pool_id' })
  poolId!: string;

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

  @Column('timestamptz', { name: 'grace_deadline', nullable: true })
  graceDeadline!: Date | null;

  @Column('uuid', { name: 'checkpoint_id', nullable: true })
  checkpointId!: string | null;

  /** The layer of the disk that is written to. */
  @Column('uuid', { name: 'disk_generation', nullable: true })
  diskGeneration!: string | null;

  @Column('integer', { name: 'restore_failures' })
  restoreFailures!: number;

  @Column('integer', { name: 'save_failures' })
  saveFailures!: number;

  @Column('jsonb', { name: 'last_error', nullable: true })
  lastError!: RecordedError | null;

  @Column('timestamptz', { name: 'created_at' })
  createdAt!: Date;

  @Column('timestamptz', { name: 'updated_at' })
  updatedAt!: Date;
}
