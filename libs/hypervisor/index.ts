/**
 * Machines on one host: the driver port the worker speaks to and its implementation on QEMU and pagers.
 * Does not know users, queues or the database: it does to a machine what it is told, and says what is really there.
 */
export { differences, type Fingerprint } from './fingerprint';
export type {
  Capture,
  CaptureFacts,
  CaptureBase,
  CaptureProgress,
  CheckpointKeys,
  CheckpointTarget,
  Hypervisor,
  Machine,
  GuestCondition,
  GuestReport,
  MachineCondition,
  MachineId,
  ReleaseHow,
  Wake,
  WakeHow,
  WakeProgress,
} from './hypervisor';
export { mergeLayers, type MergeOptions, type MergeStep } from './layers/merge-layers';
export { planLayers, type LayerPlan } from './layers/plan-layers';
export { surveyLayers, type FoundFile, type FoundLayer, type LayerSurvey } from './layers/survey-layers';
export { QemuHypervisor, type QemuHypervisorOptions } from './qemu-hypervisor';
export { RunDirectory } from './run-directory';
