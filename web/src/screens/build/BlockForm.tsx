import { useId, useState } from "react";
import { flushSync } from "react-dom";
import { Coded } from "./Coded";
import { useDraft } from "./draft";
import { focusBlock } from "./keys";
import { type Block, BRANCHES, join } from "./tree";

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
	const { changeSelected, add, selected } = useDraft();
	const known = (kind?.parameters ?? []).filter(({ name }) => !BRANCHES.some((branch) => branch === name));
	const names = new Set(known.map(({ name }) => name));
	// What the kind does not have can still be seen and emptied.
	const unknown = Object.keys(block.parameters ?? {}).filter((name) => !names.has(name));
	const parameters = [...known, ...unknown.map(unknownParameter)];
	const isShown = (parameter: string) => parameters.some(({ name }) => name === parameter);
	const put = (name: string, value: unknown) =>
		changeSelected((block) => {
			const { [name]: _, ...others } = block.parameters ?? {};
			return { ...block, parameters: value === undefined ? others : { ...others, [name]: value } };
		});
	return (
		<>
			<p className="quiet">
				<Coded>{kind?.summary ?? "The server does not know this kind."}</Coded>
			</p>
			{errors
				.filter(({ parameter }) => parameter == null || !isShown(parameter))
				.map(({ message }) => (
					<p key={message} className="fault">
						<Coded>{message}</Coded>
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
				<p className="actions">
					{BRANCHES.map((branch) => (
						<button
							key={branch}
							type="button"
							onClick={() => {
								const path = join(`${selected}.${branch}`, block[branch]?.length ?? 0);
								// This form is gone then, so the focus goes to the new block.
								flushSync(() => add([{ kind: "ReLU" }], path));
								focusBlock(path);
							}}
						>
							Add a ReLU to {branch}
						</button>
					))}
				</p>
			)}
		</>
	);
}

function unknownParameter(name: string): Parameter {
	return { name, values: "", jsonSchema: {}, required: false, description: "The kind has no such parameter." };
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
	const described = [parameter.description, parameter.values && `${parameter.values}.`].join(" ").trim();
	// The value may have changed elsewhere, as by undoing.
	const shown = written(read(typed)) === written(value) ? typed : written(value);
	const change = (text: string) => {
		setTyped(text);
		onChange(read(text));
	};
	const field = {
		id,
		value: shown,
		title: described,
		"aria-invalid": error !== undefined,
		"aria-describedby": error === undefined ? undefined : `${id}-error`,
	};
	return (
		<div className="field">
			<label htmlFor={id} title={described}>
				{parameter.name}
				{parameter.required && " *"}
			</label>
			{options ? (
				<select {...field} onChange={(event) => change(event.target.value)}>
					<option value="">{preset === "" ? "" : `${preset} (default)`}</option>
					{shown !== "" && !options.includes(shown) && <option>{shown}</option>}
					{options.map((option) => (
						<option key={option}>{option}</option>
					))}
				</select>
			) : (
				<input
					{...field}
					placeholder={parameter.required ? "required" : preset}
					onChange={(event) => change(event.target.value)}
				/>
			)}
			{error && (
				<span id={`${id}-error`} className="fault">
					<Coded>{error}</Coded>
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
