import { Column, Entity, PrimaryColumn } from 'typeorm';

@Entity('data_keys')
export class DataKeyEntity {
  @PrimaryColumn('uuid')
  id!: string;

  /** `content`, or `desktop/<id>`. */
  @Column('text')
  purpose!: string;

  @Column('text', { name: 'kek_id' })
  kekId!: string;

  @Column('bytea')
  wrapped!: Buffer;

  @Column('timestamptz', { name: 'created_at' })
  createdAt!: Date;

  @Column('timestamptz', { name: 'wrapped_at' })
  wrappedAt!: Date;
}
