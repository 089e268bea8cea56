import { type ReactNode, useEffect, useId, useRef, useState } from "react";
import type { Measure } from "../search";
import { CKA, DEBIASED_CKA } from "./measures";
import "./Filters.css";

/** How long the reader may pause while typing. */
const PAUSE_MILLISECONDS = 200;

/** The filters of a list. `/` leads to the first one. */
export function Filters({ children }: { children: ReactNode }) {
	return (
		<search className="filters">
			<fieldset>
				<legend className="visually-hidden">Filters</legend>
				{children}
			</fieldset>
		</search>
	);
}

interface FilterProps {
	label: string;
	value: string;
	onChange: (value: string) => void;
}

/** A filter that is typed. It applies when the typing pauses. */
export function TextFilter({
	label,
	value,
	onChange,
	...input
}: FilterProps & { type?: "number"; placeholder?: string }) {
	const id = useId();
	const [typed, setTyped] = useState(value);
	const timer = useRef(0);
	// The value may come from elsewhere, but must not replace what is being typed.
	useEffect(() => {
		if (timer.current === 0) setTyped((typed) => (typed.trim() === value ? typed : value));
	}, [value]);
	useEffect(() => () => clearTimeout(timer.current), []);
	const type = (text: string) => {
		setTyped(text);
		clearTimeout(timer.current);
		timer.current = window.setTimeout(() => {
			timer.current = 0;
			onChange(text.trim());
		}, PAUSE_MILLISECONDS);
	};
	return (
		<span>
			<label htmlFor={id}>{label}</label>
			<input
				id={id}
				value={typed}
				onChange={(event) => type(event.target.value)}
				data-filter
				autoComplete="off"
				step="any"
				{...input}
			/>
		</span>
	);
}

/** A filter of which one option is chosen. A value that is none of them is shown as it is. */
export function SelectFilter({
	label,
	value,
	onChange,
	options,
	hint,
}: FilterProps & { options: readonly (readonly [string, string])[]; hint?: string }) {
	const id = useId();
	const isKnown = options.some(([option]) => option === value);
	return (
		<span>
			<label htmlFor={id}>{hint ? <abbr title={hint}>{label}</abbr> : label}</label>
			<select id={id} title={hint} value={value} onChange={(event) => onChange(event.target.value)}>
				{!isKnown && <option>{value}</option>}
				{options.map(([option, name]) => (
					<option key={option} value={option}>
						{name}
					</option>
				))}
			</select>
		</span>
	);
}

/** The measure of similarity. The default one needs no word in an address. */
export function MeasureFilter({ value, onChange }: { value: Measure; onChange: (measure: "CKA" | undefined) => void }) {
	return (
		<SelectFilter
			label="Measure"
			hint={`${DEBIASED_CKA}.\n${CKA}.`}
			value={value}
			options={[
				["DEBIASED_CKA", "debiased CKA"],
				["CKA", "CKA"],
			]}
			onChange={(name) => onChange(name === "CKA" ? name : undefined)}
		/>
	);
}

/** The least accuracy, which one types in per cent. Outside it is a share of 0 to 1. */
export function AccuracyFilter({
	value,
	onChange,
}: {
	value: number | undefined;
	onChange: (share: number | undefined) => void;
}) {
	return (
		<TextFilter
			label="Accuracy at least, %"
			type="number"
			value={value === undefined ? "" : String(Math.round(value * 1_000) / 10)}
			onChange={(text) => onChange(shareOf(text))}
		/>
	);
}

/** The share that a percentage says, unless it is none. */
function shareOf(percentage: string): number | undefined {
	const share = Number(percentage) / 100;
	return percentage !== "" && share >= 0 && share <= 1 ? share : undefined;
}
