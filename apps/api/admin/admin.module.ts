import { Module } from '@nestjs/common';
import { AccessModule } from '../access';
import { ApiKeysController } from './api-keys.controller';
import { AuditController } from './audit.controller';
import { BrokersController } from './brokers.controller';
import { CheckpointsController } from './checkpoints.controller';
import { DesktopBrokersController } from './desktop-brokers.controller';
import { DesktopsController } from './desktops.controller';
import { EventsController } from './events.controller';
import { HoldsController } from './holds.controller';
import { HostsController } from './hosts.controller';
import { KeysController } from './keys.controller';
import { OperationsController } from './operations.controller';
import { PoolsController } from './pools.controller';
import { RegisterDesktopUsecase } from './register-desktop.usecase';
import { RotateKeysUsecase } from './rotate-keys.usecase';

@Module({
  imports: [AccessModule],
  controllers: [
    DesktopsController,
    HoldsController,
    DesktopBrokersController,
    CheckpointsController,
    OperationsController,
    PoolsController,
    HostsController,
    BrokersController,
    KeysController,
    EventsController,
    ApiKeysController,
    AuditController,
  ],
  providers: [RegisterDesktopUsecase, RotateKeysUsecase],
})
export class AdminModule {}
