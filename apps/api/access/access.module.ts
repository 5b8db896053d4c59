import { Module } from '@nestjs/common';
import { AdminKeyGuard } from './admin-key.guard';
import { ChangeInterceptor } from './changes';
import { RefusalLog } from './refusal-log';

@Module({
  providers: [RefusalLog, AdminKeyGuard, ChangeInterceptor],
  exports: [RefusalLog, AdminKeyGuard, ChangeInterceptor],
})
export class AccessModule {}
