/** Who may ask, and how often; and the trace that a refused request leaves. What keys there are is the ledger's. */
export { Actor, actorOf, setActor } from './actor';
export { AccessModule } from './access.module';
export { AccessGuard } from './access.guard';
export { Asking, assertPool, type Caller } from './caller';
export { ChangeInterceptor, Changes } from './changes';
export { Needs } from './needs';
export { RateGate } from './rate-gate';
export { RefusalLog } from './refusal-log';
