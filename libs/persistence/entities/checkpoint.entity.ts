import type { JsonObject } from '@dormouse/session';
import { Column, Entity, PrimaryColumn, type ValueTransformer } from 'typeorm';

/** The driver gives bigint as text; a desktop's memory in bytes is far below 2^53. */
const bytes: ValueTransformer = { to: (value: number) => value, from: (value: string) => Number(value) };

@Entity('checkpoints')
export class CheckpointEntity {
  @PrimaryColumn('uuid')
  id!: string;

  @Column('text', { name: 'desktop_id' })
  desktopId!: string;

  @Column('text')
  state!: 'writing' | 'durable' | 'condemned' | 'deleted';

  @Column('text', { name: 'storage_prefix' })
  storagePrefix!: string;

  @Column('uuid', { name: 'disk_generation', nullable: true })
  diskGeneration!: string | null;

  @Column('bigint', { name: 'ram_bytes', transformer: bytes })
  ramBytes!: number;

  @Column('bigint', { name: 'stored_bytes', transformer: bytes })
  storedBytes!: number;

  @Column('jsonb')
  facts!: JsonObject;

  @Column('timestamptz', { name: 'created_at' })
  createdAt!: Date;

  @Column('timestamptz', { name: 'durable_at', nullable: true })
  durableAt!: Date | null;

  /** The desktop's checkpoint before: the one this one goes on from. */
  @Column('uuid', { name: 'parent_id', nullable: true })
  parentId!: string | null;

  /** When a desktop was last woken from it to the last page. */
  @Column('timestamptz', { name: 'restored_at', nullable: true })
  restoredAt!: Date | null;

  @Column('timestamptz', { name: 'pinned_at', nullable: true })
  pinnedAt!: Date | null;

  @Column('text', { name: 'pinned_by', nullable: true })
  pinnedBy!: string | null;

  @Column('text', { name: 'pin_reason', nullable: true })
  pinReason!: string | null;

  /** Set with the state `condemned`, and kept in `deleted`. */
  @Column('timestamptz', { name: 'condemned_at', nullable: true })
  condemnedAt!: Date | null;
}
