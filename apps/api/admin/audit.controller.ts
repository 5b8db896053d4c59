import { Readable } from 'node:stream';
import type { SessionLedger } from '@dormouse/ledger';
import { auditPage, prunedAudit, type AuditView, type Page, type PrunedAudit } from '@dormouse/views';
import { Controller, Get, HttpCode, Inject, Post, StreamableFile, UseGuards, UseInterceptors } from '@nestjs/common';
import { ApiBearerAuth, ApiProduces, ApiResponse, ApiTags } from '@nestjs/swagger';
import { AccessGuard, Actor, ChangeInterceptor, Changes, Needs } from '../access';
import { tokens } from '../dependencies';
import { Describe, ReadBody, ReadQuery } from '../openapi';
import {
  auditExportQuery,
  auditPageQuery,
  pruneAuditRequest,
  type AuditExportQuery,
  type AuditPageQuery,
  type PruneAuditRequest,
} from './requests';

@ApiTags('audit')
@ApiBearerAuth()
@Controller('/v1/audit')
@UseGuards(AccessGuard)
@UseInterceptors(ChangeInterceptor)
export class AuditController {
  constructor(@Inject(tokens.ledger) private readonly ledger: SessionLedger) {}

  @Get()
  @Needs('admin', 'everything')
  @Describe('listAudit', 'Lists who changed or tried to change what, why, and what came of it; newest first', {
    answers: { 200: { description: 'A page of the audit log', schema: auditPage } },
  })
  list(@ReadQuery(auditPageQuery) query: AuditPageQuery): Promise<Page<AuditView>> {
    return this.ledger.listAudit(query);
  }

  @Get('export')
  @Needs('admin', 'everything')
  @Describe('exportAudit', 'Exports all lines older than a moment, oldest first, each as a line of JSON', {
    answers: {},
  })
  @ApiProduces('application/x-ndjson')
  @ApiResponse({ status: 200, description: 'Lines of JSON', schema: { type: 'string' } })
  export(@ReadQuery(auditExportQuery) { before }: AuditExportQuery): StreamableFile {
    return new StreamableFile(Readable.from(linesOf(this.ledger.exportAudit(before))), {
      type: 'application/x-ndjson',
    });
  }

  @Post('prune')
  @HttpCode(200)
  @Needs('admin', 'everything')
  @Changes('audit.prune')
  @Describe('pruneAudit', 'Removes the lines that are older than a moment, and says so in a line of its own', {
    answers: { 200: { description: 'How many lines are gone', schema: prunedAudit } },
  })
  async prune(
    @ReadBody(pruneAuditRequest) { before, reason }: PruneAuditRequest,
    @Actor() actor: string,
  ): Promise<PrunedAudit> {
    return { removed: await this.ledger.pruneAudit({ before, reason, actor }) };
  }
}

async function* linesOf(entries: AsyncIterable<AuditView>): AsyncGenerator<string> {
  for await (const entry of entries) yield `${JSON.stringify(entry)}\n`;
}
