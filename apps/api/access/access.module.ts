import { Module } from '@nestjs/common';
import { AccessGuard } from './access.guard';
import { ChangeInterceptor } from './changes';
import { RateGate } from './rate-gate';
import { RefusalLog } from './refusal-log';

const providers = [RefusalLog, RateGate, AccessGuard, ChangeInterceptor];

@Module({ providers, exports: providers })
export class AccessModule {}
