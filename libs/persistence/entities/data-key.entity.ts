import { Column, Entity, PrimaryColumn } from 'typeorm';

@Entity('data_keys')
export class DataKeyEntity {
  @PrimaryColumn('uuid')
  id!: string;

  /** `content`, or `desktop/<id>`. */
  @Column('text')
  purpose!: string;

  /** Made by the database out of the purpose. */
  @Column({ type: 'text', name: 'desktop_id', nullable: true, insert: false, update: false })
  desktopId!: string | null;

  @Column('text', { name: 'kek_id' })
  kekId!: string;

  @Column('bytea')
  wrapped!: Buffer;

  @Column('timestamptz', { name: 'created_at' })
  createdAt!: Date;

  @Column('timestamptz', { name: 'wrapped_at' })
  wrappedAt!: Date;
}
