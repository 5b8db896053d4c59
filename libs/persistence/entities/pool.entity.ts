import type { PoolPolicy, Storm } from '@dormouse/session';
import { Column, Entity, PrimaryColumn } from 'typeorm';

@Entity('pools')
export class PoolEntity {
  @PrimaryColumn('text')
  id!: string;

  @Column('jsonb')
  policy!: PoolPolicy;

  /** Moves with every change of the policy. */
  @Column('integer')
  version!: number;

  @Column('jsonb')
  storms!: readonly Storm[];

  @Column('timestamptz', { name: 'created_at' })
  createdAt!: Date;

  @Column('timestamptz', { name: 'updated_at' })
  updatedAt!: Date;
}
