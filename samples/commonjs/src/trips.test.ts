import { Test } from '@nestjs/testing';
import { ScriptedParticipant } from 'nestjs-dtc/testing';
import { Ferry, Train, Trips, TripsModule } from './trips';

it('gives the seats in the train back when the ferry refuses', async () => {
  const module = await Test.createTestingModule({ imports: [TripsModule] })
    .overrideProvider(Ferry)
    .useValue(new ScriptedParticipant({ prepare: { refuse: 'STORM' } }))
    .compile();
  await module.init();

  const outcome = await module.get(Trips).book(6);
  await module.close();

  expect(outcome).toMatchObject({ status: 'aborted', code: 'STORM' });
  expect(module.get(Train).taken).toBe(0);
});
