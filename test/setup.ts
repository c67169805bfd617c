import 'reflect-metadata';
import { Logger } from '@nestjs/common';

// What the code under test logs is read by the tests that are about it; in all others it is noise.
Logger.overrideLogger(false);
