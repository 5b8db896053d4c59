import { Module } from '@nestjs/common';
import { AccessModule } from '../access';
import { DesktopsController } from './desktops.controller';
import { HostsController } from './hosts.controller';
import { OperationsController } from './operations.controller';
import { PoolsController } from './pools.controller';
import { RegisterDesktopUsecase } from './register-desktop.usecase';

@Module({
  imports: [AccessModule],
  controllers: [DesktopsController, OperationsController, PoolsController, HostsController],
  providers: [RegisterDesktopUsecase],
})
export class AdminModule {}
