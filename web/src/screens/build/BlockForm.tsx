import { useId, useState } from "react";
import { useDraft } from "./draft";
import type { Block } from "./tree";

interface Parameter {
	name: string;
	values: string;
	jsonSchema: unknown;
	required: boolean;
	default?: unknown;
	description: string;
}

interface FormProps {
	block: Block;
	kind: { name: string; summary: string; parameters: readonly Parameter[] } | undefined;
	errors: readonly { parameter?: string | null; message: string }[];
}

/** The parameters of the selected block. The server alone judges them. */
export function BlockForm({ block, kind, errors }: FormProps) {
	const { changeSelected, removeSelected, duplicateSelected, set, selected } = useDraft();
	const parameters = (kind?.parameters ?? []).filter(({ name }) => name !== "main" && name !== "shortcut");
	const put = (name: string, value: unknown) =>
		changeSelected((block) => {
			const { [name]: _, ...others } = block.parameters ?? {};
			return { ...block, parameters: value === undefined ? others : { ...others, [name]: value } };
		});
	return (
		<section className="block-form" aria-labelledby="block">
			<h2 id="block">
				{block.kind} <span className="quiet">{selected}</span>
			</h2>
			<p className="quiet">{kind?.summary}</p>
			{errors
				.filter(({ parameter }) => parameter == null)
				.map(({ message }) => (
					<p key={message} className="fault">
						{message}
					</p>
				))}
			{parameters.map((parameter) => (
				<Field
					key={parameter.name}
					parameter={parameter}
					value={block.parameters?.[parameter.name]}
					error={errors.find((error) => error.parameter === parameter.name)?.message}
					onChange={(value) => put(parameter.name, value)}
				/>
			))}
			{block.main && (
				<p>
					<button
						type="button"
						onClick={() => {
							changeSelected((block) => ({ ...block, main: [...(block.main ?? []), { kind: "ReLU" }] }));
							set({ selected: `${selected}.main.${block.main?.length ?? 0}` });
						}}
					>
						Add to the main branch
					</button>{" "}
					<button
						type="button"
						onClick={() => {
							changeSelected((block) => ({ ...block, shortcut: [...(block.shortcut ?? []), { kind: "ReLU" }] }));
							set({ selected: `${selected}.shortcut.${block.shortcut?.length ?? 0}` });
						}}
					>
						Add to the shortcut
					</button>
				</p>
			)}
			<p>
				<button type="button" onClick={duplicateSelected}>
					Duplicate
				</button>{" "}
				<button type="button" onClick={removeSelected}>
					Remove
				</button>
			</p>
		</section>
	);
}

interface FieldProps {
	parameter: Parameter;
	value: unknown;
	error: string | undefined;
	onChange: (value: unknown) => void;
}

function Field({ parameter, value, error, onChange }: FieldProps) {
	const id = useId();
	const schema = parameter.jsonSchema as { type?: string; enum?: readonly string[] };
	const options = schema.type === "boolean" ? ["true", "false"] : schema.enum;
	const [typed, setTyped] = useState(written(value));
	const preset = parameter.default == null ? "" : written(parameter.default);
	const described = `${parameter.description} ${parameter.values}.`;
	// The value may have changed elsewhere, as by undoing.
	const shown = written(read(typed)) === written(value) ? typed : written(value);
	const change = (text: string) => {
		setTyped(text);
		onChange(read(text));
	};
	return (
		<div className="field">
			<label htmlFor={id} title={described}>
				{parameter.name}
				{parameter.required && " *"}
			</label>
			{options ? (
				<select id={id} value={shown} title={described} onChange={(event) => change(event.target.value)}>
					<option value="">{preset === "" ? "" : `${preset} (default)`}</option>
					{options.map((option) => (
						<option key={option}>{option}</option>
					))}
				</select>
			) : (
				<input
					id={id}
					value={shown}
					title={described}
					placeholder={preset}
					aria-invalid={error !== undefined}
					aria-describedby={error === undefined ? undefined : `${id}-error`}
					onChange={(event) => change(event.target.value)}
				/>
			)}
			{error && (
				<span id={`${id}-error`} className="fault">
					{error}
				</span>
			)}
		</div>
	);
}

function written(value: unknown): string {
	return value === undefined ? "" : typeof value === "string" ? value : JSON.stringify(value);
}

/** A value as it is typed: JSON, or a text. Nothing means the default. */
function read(text: string): unknown {
	if (text.trim() === "") return undefined;
	try {
		return JSON.parse(text);
	} catch {
		return text;
	}
}
