/** One file for each kind of job: what the worker does when it comes. */
import { JobHandlers } from '@dormouse/jobs';
import { runOperation } from '../run-operation';
import type { WorkerContext } from '../worker-context';
import { boot } from './boot';
import { forget } from './forget';
import { register } from './register';
import { restore } from './restore';
import { save } from './save';
import { stop } from './stop';

export function hostHandlers(context: WorkerContext): JobHandlers<'host'> {
  return new JobHandlers('host')
    .register('register', (job, about) => runOperation(context, job, about, (run) => register(context, run)))
    .register('boot', (job, about) => runOperation(context, job, about, (run) => boot(context, run)))
    .register('restore', (job, about) => runOperation(context, job, about, (run) => restore(context, run)))
    .register('stop', (job, about) => runOperation(context, job, about, (run) => stop(context, run)));
}

export function backgroundHandlers(context: WorkerContext): JobHandlers<'background'> {
  return new JobHandlers('background')
    .register('save', (job, about) => runOperation(context, job, about, (run) => save(context, run)))
    .register('forget', (job) => forget(context, job.desktopId));
}

export function sessionHandlers({ ledger }: Pick<WorkerContext, 'ledger'>): JobHandlers<'session'> {
  return new JobHandlers('session').register('grace', (job) => ledger.graceElapsed(job.desktopId, job.generation));
}
