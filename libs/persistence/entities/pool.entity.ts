import type { PoolPolicy } from '@dormouse/session';
import { Column, Entity, PrimaryColumn } from 'typeorm';

@Entity('pools')
export class PoolEntity {
  @PrimaryColumn('text')
  id!: string;

  @Column('jsonb')
  policy!: PoolPolicy;

  @Column('timestamptz', { name: 'created_at' })
  createdAt!: Date;

  @Column('timestamptz', { name: 'updated_at' })
  updatedAt!: Date;
}
