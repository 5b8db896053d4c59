import { Readable } from 'node:stream';
import type { AuditView, Page, SessionLedger } from '@dormouse/ledger';
import {
  Body,
  Controller,
  Get,
  HttpCode,
  Inject,
  Post,
  Query,
  StreamableFile,
  UseGuards,
  UseInterceptors,
} from '@nestjs/common';
import { ApiBearerAuth, ApiOperation, ApiProduces, ApiResponse, ApiTags } from '@nestjs/swagger';
import { AccessGuard, Actor, ChangeInterceptor, Changes, Needs } from '../access';
import { tokens } from '../dependencies';
import { AuditPageBody, ProblemBody, PrunedAuditBody } from '../openapi';
import { AuditExportQuery, AuditPageQuery, momentOf, PruneAuditRequest } from './requests';

@ApiTags('audit')
@ApiBearerAuth()
@ApiResponse({ status: 'default', description: 'A problem', type: ProblemBody })
@Controller('/v1/audit')
@UseGuards(AccessGuard)
@UseInterceptors(ChangeInterceptor)
export class AuditController {
  constructor(@Inject(tokens.ledger) private readonly ledger: SessionLedger) {}

  @Get()
  @Needs('admin', 'everything')
  @ApiOperation({ summary: 'Who changed or tried to change what, why, and what came of it; newest first' })
  @ApiResponse({ status: 200, type: AuditPageBody })
  list(@Query() query: AuditPageQuery): Promise<Page<AuditView>> {
    return this.ledger.listAudit(query);
  }

  @Get('export')
  @Needs('admin', 'everything')
  @ApiOperation({ summary: 'All lines older than a moment, oldest first, each as a line of JSON' })
  @ApiProduces('application/x-ndjson')
  @ApiResponse({ status: 200, description: 'Lines of JSON', schema: { type: 'string' } })
  export(@Query() { before }: AuditExportQuery): StreamableFile {
    return new StreamableFile(Readable.from(linesOf(this.ledger.exportAudit(momentOf(before)))), {
      type: 'application/x-ndjson',
    });
  }

  @Post('prune')
  @HttpCode(200)
  @Needs('admin', 'everything')
  @Changes('audit.prune')
  @ApiOperation({ summary: 'Removes the lines that are older than a moment, and says so in a line of its own' })
  @ApiResponse({ status: 200, type: PrunedAuditBody })
  async prune(@Body() { before, reason }: PruneAuditRequest, @Actor() actor: string): Promise<PrunedAuditBody> {
    return { removed: await this.ledger.pruneAudit({ before: momentOf(before), reason, actor }) };
  }
}

async function* linesOf(entries: AsyncIterable<AuditView>): AsyncGenerator<string> {
  for await (const entry of entries) yield `${JSON.stringify(entry)}\n`;
}
