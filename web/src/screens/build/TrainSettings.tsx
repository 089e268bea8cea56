import type { OptimizerKind, Schedule, TrainSettingsInput } from "../../gql/graphql";

/** The numbers that are asked for, with their bounds. The server checks them too. */
const NUMBERS = {
	epochs: { name: "Epochs", min: 1, max: 1_000, step: 1 },
	learningRate: { name: "Learning rate", min: 0, max: 10, step: "any" },
	batchSize: { name: "Batch size", min: 1, max: 4_096, step: 1 },
	momentum: { name: "Momentum", min: 0, max: 0.999, step: "any" },
	weightDecay: { name: "Weight decay", min: 0, max: 1, step: "any" },
	seed: { name: "Random seed", min: 0, max: 2_147_483_647, step: 1 },
	validationShare: { name: "Share of images kept for validation", min: 0, max: 0.5, step: "any" },
} as const;

interface TrainSettingsProps {
	settings: TrainSettingsInput;
	onChange: (settings: TrainSettingsInput) => void;
}

/** How a network is trained. What is seldom changed is folded away. */
export function TrainSettings({ settings, onChange }: TrainSettingsProps) {
	const number = (key: keyof typeof NUMBERS) => {
		const { name, ...bounds } = NUMBERS[key];
		return (
			<label className="field">
				<span>{name}</span>
				<input
					type="number"
					required
					{...bounds}
					value={Number.isNaN(settings[key]) ? "" : (settings[key] ?? "")}
					onChange={(event) => onChange({ ...settings, [key]: event.target.valueAsNumber })}
				/>
			</label>
		);
	};
	return (
		<>
			{number("epochs")}
			{number("learningRate")}
			<details
				className="train-settings"
				// A value that is refused is shown.
				onInvalidCapture={({ currentTarget }) => {
					currentTarget.open = true;
				}}
			>
				<summary>More settings</summary>
				{number("batchSize")}
				<label className="field">
					<span>Optimiser</span>
					<select
						value={settings.optimizer}
						onChange={(event) => onChange({ ...settings, ...optimizerOf(event.target.value as OptimizerKind) })}
					>
						<option value="ADAM">Adam</option>
						<option value="ADAMW">AdamW</option>
						<option value="SGD">SGD</option>
					</select>
				</label>
				{settings.optimizer === "SGD" && number("momentum")}
				<label className="field">
					<span>Schedule of the learning rate</span>
					<select
						value={settings.schedule}
						onChange={(event) => onChange({ ...settings, schedule: event.target.value as Schedule })}
					>
						<option value="CONSTANT">constant</option>
						<option value="COSINE">cosine, down to zero</option>
					</select>
				</label>
				{number("weightDecay")}
				{number("seed")}
				{number("validationShare")}
			</details>
		</>
	);
}

/** An optimiser, with the momentum that only one of them has. */
function optimizerOf(optimizer: OptimizerKind): Pick<TrainSettingsInput, "optimizer" | "momentum"> {
	return { optimizer, momentum: optimizer === "SGD" ? 0.9 : null };
}
