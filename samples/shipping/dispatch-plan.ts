import { Injectable } from '@nestjs/common';

/** One parcel, and where it goes. */
export interface Shipment {
  readonly orderId: string;
  /** ISO 3166, two letters. */
  readonly country: string;
}

/** How many parcels leave for each country today. */
export const SEED_CAPACITY: Readonly<Record<string, number>> = { DE: 10, FR: 1 };

/**
 * The places in today's vans. A place that is held can be booked for certain: no other shipment gets it until it is
 * booked or released.
 */
@Injectable()
export class DispatchPlan {
  private readonly free = new Map(Object.entries(SEED_CAPACITY));
  private readonly held = new Map<string, Shipment>();
  private readonly booked = new Map<string, Shipment>();

  /** @returns how many places are left. */
  placesTo(country: string): number {
    return this.free.get(country) ?? 0;
  }

  /** @returns the parcel of an order that is booked, or undefined. */
  find(orderId: string): Shipment | undefined {
    return this.booked.get(orderId);
  }

  /** Holds a place under a key. @returns whether there was one left. */
  hold(key: string, shipment: Shipment): boolean {
    const places = this.placesTo(shipment.country);
    if (places === 0) return false;
    this.free.set(shipment.country, places - 1);
    this.held.set(key, shipment);
    return true;
  }

  /** Books the place held under a key. @returns whether it was held. */
  book(key: string): boolean {
    const shipment = this.held.get(key);
    if (shipment === undefined) return false;
    this.held.delete(key);
    this.booked.set(shipment.orderId, shipment);
    return true;
  }

  /** Gives back the place held under a key, if any. */
  release(key: string): void {
    const shipment = this.held.get(key);
    if (shipment === undefined) return;
    this.held.delete(key);
    this.free.set(shipment.country, this.placesTo(shipment.country) + 1);
  }

  /** A worker in the yard takes every parcel of a country out of the vans, whatever was promised. */
  clear(country: string): void {
    for (const [key, shipment] of this.held) if (shipment.country === country) this.release(key);
  }
}
