import { Injectable, type OnModuleDestroy } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { describe, expect, it, vi } from 'vitest';
import { CoordinatorModule } from '../coordinator.module.js';
import { branch } from '../participant/branch-request.js';
import { ParticipantRegistry } from '../participant/participant.registry.js';
import { CoordinatorStatus } from '../observation/coordinator-status.js';
import { ScriptedParticipant } from '../testing/index.js';
import { TransactionManager } from '../transaction-manager.js';

describe('DrainModule', () => {
  it('resources that the root module closes in onModuleDestroy exist until the last transaction has ended', async () => {
    const order: string[] = [];
    @Injectable()
    class Pool implements OnModuleDestroy {
      onModuleDestroy(): void {
        order.push('pool closed');
      }
    }
    const application = await Test.createTestingModule({
      imports: [CoordinatorModule.forRoot()],
      providers: [Pool],
    }).compile();
    await application.init();
    const gate = Promise.withResolvers<void>();
    const participant = new ScriptedParticipant({ commit: { until: gate.promise } });
    application.get(ParticipantRegistry).register(participant, { name: 'p' });
    const transactions = application.get(TransactionManager);
    const running = transactions.run({ branches: [branch('p', 1)] }).then(() => order.push('committed'));
    await vi.waitUntil(() => participant.count('commit') === 1);

    const closing = application.close();
    await vi.waitUntil(() => !application.get(CoordinatorStatus).condition().accepting);
    gate.resolve();
    await running;
    await closing;

    expect(order).toEqual(['committed', 'pool closed']);
  });
});
