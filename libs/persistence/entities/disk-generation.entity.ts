import { Column, Entity, PrimaryColumn } from 'typeorm';

@Entity('disk_generations')
export class DiskGenerationEntity {
  @PrimaryColumn('uuid')
  id!: string;

  @Column('text', { name: 'desktop_id' })
  desktopId!: string;

  @Column('uuid', { name: 'parent_id', nullable: true })
  parentId!: string | null;

  @Column('text')
  state!: 'prepared' | 'open' | 'sealed';

  @Column('timestamptz', { name: 'created_at' })
  createdAt!: Date;
}
