/**
 * The tables as TypeORM entities, the connection, and bringing the schema up to date.
 * Does not live here: what the rows mean and when they change; that is the ledger's.
 */
export { createDataSource, openDatabase, runMigrations, type DataSourceOptions } from './data-source';
export { ApiKeyEntity } from './entities/api-key.entity';
export { AuditEntryEntity } from './entities/audit-entry.entity';
export { CheckpointEntity } from './entities/checkpoint.entity';
export { DataKeyEntity } from './entities/data-key.entity';
export { DesktopEntity } from './entities/desktop.entity';
export { DiskGenerationEntity } from './entities/disk-generation.entity';
export { HostEntity } from './entities/host.entity';
export { InboxEventEntity } from './entities/inbox-event.entity';
export { OperationEntity } from './entities/operation.entity';
export { OutboxEntity } from './entities/outbox.entity';
export { PoolEntity } from './entities/pool.entity';
export { postgresAway } from './postgres-away';
